"""What an application may do with a session: ask, answer, put out."""

from collections.abc import Sequence
from typing import Any

import pytest

from miaosha.sockets import packets
from miaosha.sockets.engine_packets import Outbound
from miaosha.sockets.packets import Packet, PacketType
from miaosha.sockets.session import Session
from tests.kit.waits import until
from tests.sockets.conftest import World
from tests.sockets.wire import Wire, masked


class Curious:
    """Asks whoever connects to any namespace, and remembers what happens."""

    def __init__(self) -> None:
        self.acks: list[tuple[str, int, list[Any]]] = []
        self.left: list[str] = []

    def connect(self, session: Session, namespace: str, auth: Any) -> Sequence[Outbound]:
        question = ["question", b"\x01", 5]
        return packets.encode(Packet(PacketType.EVENT, namespace, question, ack_id=3))

    def event(
        self, session: Session, namespace: str, name: str, args: list[Any], ack_id: int | None
    ) -> None:
        session.disconnect(namespace)

    def acked(self, session: Session, namespace: str, ack_id: int, args: list[Any]) -> None:
        self.acks.append((namespace, ack_id, args))

    def disconnected(self, session: Session, namespace: str) -> None:
        self.left.append(namespace)


@pytest.fixture
def curious(world: World) -> Curious:
    application = Curious()
    world.server.application = application
    return application


async def test_acknowledgements_of_the_client(world: World, curious: Curious) -> None:
    async with await Wire.open(world) as wire:
        for where in ("", "/other,"):
            wire.text(f"40{where}")
            assert (await wire.packet()).startswith(f"40{where}{{")
            question = '["question",{"_placeholder":true,"num":0},5]'
            assert await wire.packet() == f"451-{where}3{question}"
            assert await wire.frame() == (2, b"\x01")
        wire.text('461-/other,3[{"_placeholder":true,"num":0},"so"]')
        wire.send(masked(b"\x02", 2))
        wire.text("433[]")
        await until(lambda: len(curious.acks) == 2)
        assert curious.acks == [("/other", 3, [b"\x02", "so"]), ("/", 3, [])]


async def test_a_client_is_put_out_of_one_namespace(world: World, curious: Curious) -> None:
    async with await Wire.open(world) as wire:
        for where in ("", "/other,"):
            wire.text(f"40{where}")
            await wire.packet()
            await wire.packet()
            await wire.frame()
        wire.text('42/other,["anything"]')
        assert await wire.packet() == "41/other,"
        assert curious.left == ["/other"]
        wire.text("433[1]")
        await until(lambda: curious.acks == [("/", 3, [1])])
    await until(lambda: curious.left == ["/other", "/"])


async def test_namespaces_have_a_limit(world: World, curious: Curious) -> None:
    limits = world.server.limits
    world.server.limits = limits._replace(namespaces_max=1)
    async with await Wire.open(world) as wire:
        wire.text("40")
        await wire.packet()
        await wire.packet()
        await wire.frame()
        wire.text("40/other,")
        assert (await wire.packet()).startswith('44/other,{"message":"Too many namespaces"')
