"""What the settings admit: proxies, origins, sockets of a user; and how many processes serve."""

import msgspec
import pytest

from miaosha.settings import Settings
from miaosha.supervisor import process_counts
from miaosha.supervisor.edge import nginx_config
from tests.gateway.conftest import Start, World
from tests.sockets.wire import HEAD, Wire


async def test_what_the_settings_admit(start_gateway: Start) -> None:
    options = {
        "sockets_per_ip_max": 1,
        "trusted_proxies": "127.0.0.1",
        "allowed_origins": "https://shop.test",
    }
    async with start_gateway(**options) as world:
        one, other = b"X-Real-IP: 203.0.113.1\r\n", b"X-Real-IP: 203.0.113.2\r\n"
        listed, own = b"Origin: https://shop.test\r\n", b"Origin: http://localhost:8000\r\n"
        async with await Wire.open(world, one + listed), await Wire.open(world, other + own):
            async with await Wire.dial(world) as wire:
                wire.send(HEAD + one + b"\r\n")
                assert (await wire.head()).startswith(b"HTTP/1.1 429 ")
            assert world.process.counters["sockets_refused_address"] == 1


async def test_readiness_names_what_the_gateway_stands_on(world: World) -> None:
    async with await Wire.dial(world) as wire:
        wire.send(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = await wire.eof()
    assert answer.endswith(b'{"status":"ok","checks":{"board":"ok","bus":"ok"}}')


async def test_no_cap(start_gateway: Start) -> None:
    async with start_gateway(sockets_per_ip_max=0, sockets_per_user_max=0) as world:
        wires = [await Wire.connect(world, world.token(5)) for _ in range(12)]
        assert not world.gateway.server.admission._held
        for wire in wires:
            await wire.__aexit__()


async def test_sockets_per_user(start_gateway: Start) -> None:
    async with start_gateway(sockets_per_user_max=2) as world:
        token = world.token(5)
        async with await Wire.connect(world, token) as first, await Wire.connect(world, token):
            async with await Wire.open(world) as third:
                third.text("40" + msgspec.json.encode({"token": token}).decode())
                packet = await third.packet()
                assert packet.startswith("44{")
                assert '"data":{"code":"rate_limited","retry_after_s":21}' in packet
            async with await Wire.connect(world, world.token(6)):
                pass
            first.text("1")
            assert (await first.closed())[0] == 1000
            async with await Wire.connect(world, token):
                pass


async def test_too_many_sockets_of_a_user_are_counted(start_gateway: Start) -> None:
    async with (
        start_gateway(sockets_per_user_max=1) as world,
        await Wire.connect(world, world.token(5)),
        await Wire.open(world) as second,
    ):
        second.text(f'40{{"token":"{world.token(5)}"}}')
        assert "Too many sockets" in await second.packet()
        assert world.process.counters["connects_refused_user"] == 1


@pytest.mark.parametrize(
    ("sockets", "cores", "files", "expected"),
    [
        (16_000, 1, 20_000, 3),
        (8_000, 2, 65_536, 2),
        (16_000, 16, 65_536, 4),
        (10**6, 2, 65_536, 39),
    ],
)
def test_how_many_workers_the_edge_has(sockets: int, cores: int, files: int, expected: int) -> None:
    assert nginx_config.workers(sockets, cores, files) == expected


@pytest.mark.parametrize(
    ("sockets", "cores", "descriptors", "expected"),
    [
        (16_000, 2, 20_000, 1),
        (20_000, 2, 20_000, 2),
        (20_000, 64, 20_000, 2),
        (300_000, 2, 20_000, 19),
        (300_000, 2, 1_000_000, 19),
        (16_000, 4, 4_480, 4),
        (1_000_000, 16, 20_000, 63),
    ],
)
def test_how_many_gateways(sockets: int, cores: int, descriptors: int, expected: int) -> None:
    settings = Settings(sockets_max=sockets)
    assert process_counts.gateways(settings, cores, descriptors) == expected
    assert process_counts.gateways(Settings(gateways=3), cores, descriptors) == 3
