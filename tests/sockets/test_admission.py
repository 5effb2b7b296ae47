"""Who is let in: caps per address, the accept rate, and whose word counts."""

import asyncio
import random
import time
from ipaddress import ip_network

from miaosha.sockets.admission import RETRY_S, Admission
from tests.kit.clocks import HandClock
from tests.kit.waits import until
from tests.sockets.conftest import Start, World
from tests.sockets.wire import HEAD, Wire


def admission(clock: HandClock | None = None, **given: object) -> Admission:
    monotonic = (clock or HandClock()).monotonic
    return Admission(**given, monotonic=monotonic, dice=random.Random(3).randint)  # type: ignore[arg-type]


def test_the_accept_rate_lets_a_burst_in_and_then_the_rate() -> None:
    clock = HandClock()
    gate = admission(clock, rate_per_s=10)
    assert [gate.in_time() for _ in range(21)] == [True] * 20 + [False]
    clock.advance(100)
    assert [gate.in_time() for _ in range(2)] == [True, False]
    assert admission(clock, rate_per_s=0).in_time()


def test_those_who_are_refused_come_back_at_different_times() -> None:
    gate = admission(rate_per_s=1)
    told = [gate.retry_after_s() for _ in range(200)]
    assert set(told) == set(range(RETRY_S[0], RETRY_S[1] + 1))


def capped(per_address_max: int = 0, rate_per_s: float = 0) -> Admission:
    """One that runs, and trusts a proxy on this machine."""
    trusted = [ip_network("127.0.0.1")]
    return Admission(per_address_max, rate_per_s, trusted, monotonic=time.monotonic)


async def ask(world: World, extra: bytes) -> bytes:
    async with await Wire.dial(world) as wire:
        wire.send(HEAD + extra + b"\r\n")
        return await wire.head()


async def test_sockets_of_one_address(start_server: Start) -> None:
    async with start_server(admission=capped(2)) as world:
        one, other = b"X-Real-IP: 203.0.113.1\r\n", b"X-Real-IP: 203.0.113.2\r\n"
        async with await Wire.open(world, one) as first, await Wire.open(world, one):
            answer = await ask(world, one)
            assert answer.startswith(b"HTTP/1.1 429 ") and b"Retry-After: " in answer
            assert world.counters["sockets_refused_address"] == 1
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


async def test_an_address_is_given_back_however_a_socket_ends(start_server: Start) -> None:
    async with start_server(admission=capped(1)) as world:
        held = world.server.admission._held
        for ending in (b"", b"\xff\xff", b"\x88\x80\0\0\0\0"):
            async with await Wire.open(world) as wire:
                assert list(held.values()) == [1]
                wire.send(ending)
            await until(lambda: not held)


async def test_the_accept_rate(start_server: Start) -> None:
    async with start_server(admission=capped(rate_per_s=2)) as world:
        answers = await asyncio.gather(*(ask(world, b"") for _ in range(12)))
        accepted = [answer for answer in answers if answer.startswith(b"HTTP/1.1 101 ")]
        refused = [answer for answer in answers if answer.startswith(b"HTTP/1.1 503 ")]
        assert len(accepted) >= 4 and len(refused) >= 4 and len(accepted) + len(refused) == 12
        assert all(b"Retry-After: " in answer for answer in refused)
        assert world.counters["sockets_refused_rate"] == len(refused)
