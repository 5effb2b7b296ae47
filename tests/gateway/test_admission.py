"""Who is let in: caps per address, the accept rate, whose word counts, and the limit of files."""

import asyncio
import random

import pytest

from miaosha.domain.errors import SettingsError
from miaosha.settings import Settings, proxies
from miaosha.sockets.admission import RETRY_S, Admission, number
from miaosha.supervisor import process_counts
from miaosha.supervisor.edge import nginx_config
from tests.gateway.conftest import Start, World
from tests.gateway.wire import HEAD, Wire
from tests.kit.waits import until

UNIX = ""  # the peername of a unix socket


class Now:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


def admission(now: Now | None = None, **given: object) -> Admission:
    return Admission(**given, monotonic=now or Now(), dice=random.Random(3).randint)  # type: ignore[arg-type]


def test_addresses_as_numbers() -> None:
    assert number("127.0.0.1") == number("::ffff:127.0.0.1") == 0x7F000001
    assert number("2001:db8:1:2::1") == number("2001:db8:1:2:3::9") != number("2001:db8:1:3::1")
    assert number("2001:db8::1") != number("0.0.0.1") != 0
    assert number("nobody") == number("") == number("1.2.3") == 0


def test_whose_word_counts() -> None:
    trusted = proxies(Settings(trusted_proxies="10.0.0.0/8, 192.0.2.7"))
    gate = admission(per_address_max=1, trusted=trusted)
    assert gate.address(UNIX, b"203.0.113.9") == number("203.0.113.9")
    assert gate.address(None, None) == 0
    assert gate.address(("10.1.2.3", 5), b"203.0.113.9") == number("203.0.113.9")
    assert gate.address(("192.0.2.7", 5), b"203.0.113.9") == number("203.0.113.9")
    assert gate.address(("198.51.100.4", 5), b"203.0.113.9") == number("198.51.100.4"), "a liar"
    assert gate.address(("10.1.2.3", 5), None) == number("10.1.2.3")
    assert gate.address(("10.1.2.3", 5), b"unix:") == 0
    with pytest.raises(SettingsError, match=r"TRUSTED_PROXIES='10\.0\.0\.0/99'"):
        proxies(Settings(trusted_proxies="127.0.0.1, 10.0.0.0/99"))


def test_the_accept_rate_lets_a_burst_in_and_then_the_rate() -> None:
    now = Now()
    gate = admission(now, rate_per_s=10)
    assert [gate.in_time() for _ in range(21)] == [True] * 20 + [False]
    now.s += 0.1
    assert [gate.in_time() for _ in range(2)] == [True, False]
    assert admission(now, rate_per_s=0).in_time()


def test_those_who_are_refused_come_back_at_different_times() -> None:
    gate = admission(rate_per_s=1)
    told = [gate.retry_after_s() for _ in range(200)]
    assert set(told) == set(range(RETRY_S[0], RETRY_S[1] + 1))


async def ask(world: World, extra: bytes) -> bytes:
    async with await Wire.dial(world) as wire:
        wire.send(HEAD + extra + b"\r\n")
        return await wire.head()


async def test_sockets_of_one_address(start_gateway: Start) -> None:
    async with start_gateway(sockets_per_ip_max=2, trusted_proxies="127.0.0.1") as world:
        one, other = b"X-Real-IP: 203.0.113.1\r\n", b"X-Real-IP: 203.0.113.2\r\n"
        async with await Wire.open(world, one) as first, await Wire.open(world, one):
            answer = await ask(world, one)
            assert answer.startswith(b"HTTP/1.1 429 ") and b"Retry-After: " in answer
            assert world.process.counters["sockets_refused_address"] == 1
            polled = b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n"
            async with await Wire.dial(world) as wire:
                wire.send(polled + one + b"\r\n")
                assert (await wire.head()).startswith(b"HTTP/1.1 429 ")
            async with await Wire.open(world, other):
                pass
            first.text("1")
            await first.closed()
            async with await Wire.open(world, one):
                pass


async def test_an_address_is_given_back_however_a_socket_ends(start_gateway: Start) -> None:
    async with start_gateway(sockets_per_ip_max=1) as world:
        held = world.gateway.server.admission._held
        for ending in (b"", b"\xff\xff", b"\x88\x80\0\0\0\0"):
            async with await Wire.open(world) as wire:
                assert list(held.values()) == [1]
                wire.send(ending)
            await until(lambda: not held)


async def test_no_cap(start_gateway: Start) -> None:
    async with start_gateway(sockets_per_ip_max=0, sockets_per_user_max=0) as world:
        wires = [await Wire.connect(world, world.token(5)) for _ in range(12)]
        assert not world.gateway.server.admission._held
        for wire in wires:
            await wire.__aexit__()


async def test_the_accept_rate(start_gateway: Start) -> None:
    async with start_gateway(accept_rate_per_s=2) as world:
        answers = await asyncio.gather(*(ask(world, b"") for _ in range(12)))
        accepted = [answer for answer in answers if answer.startswith(b"HTTP/1.1 101 ")]
        refused = [answer for answer in answers if answer.startswith(b"HTTP/1.1 503 ")]
        assert len(accepted) >= 4 and len(refused) >= 4 and len(accepted) + len(refused) == 12
        assert all(b"Retry-After: " in answer for answer in refused)
        assert world.process.counters["sockets_refused_rate"] == len(refused)


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
