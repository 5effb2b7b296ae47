"""What a CONNECT says of who connects, over a real socket."""

import msgspec
import pytest

from tests.gateway.conftest import World
from tests.sockets.wire import Wire


async def test_leaving_and_coming_back_as_another(world: World) -> None:
    async with await Wire.connect(world, world.token(5)) as wire:
        wire.text("41")
        wire.text("40" + msgspec.json.encode({"token": world.token(6)}).decode())
        assert (await wire.packet()).startswith("40{")
        hub = world.gateway._fanout._hub
        assert hub.of_user(5) == () and len(hub.of_user(6)) == 1


@pytest.mark.parametrize(
    "auth",
    [
        '{"token":"garbage"}',
        '{"token":""}',
        '{"token":7}',
        '{"token":{}}',
        '{"token":"5:1"}',
        '{"token":"\\u20ac"}',
    ],
)
async def test_wrong_tokens(world: World, auth: str) -> None:
    async with await Wire.open(world) as wire:
        wire.text("40" + auth)
        packet = await wire.packet()
        assert packet.startswith("44{")
        error = msgspec.json.decode(packet[2:])
        assert error["data"] == {"code": "unauthorized"} and error["message"]
        wire.text("40" + msgspec.json.encode({"token": world.token(5)}).decode())
        assert (await wire.packet()).startswith("40{"), "the same socket may try again"


@pytest.mark.parametrize("auth", ["", "{}", '{"token":null}'])
async def test_no_token_is_a_visitor(world: World, auth: str) -> None:
    async with await Wire.open(world) as wire:
        wire.text("40" + auth)
        assert (await wire.packet()).startswith("40{")
