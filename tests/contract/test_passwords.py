"""Password hashing: right and wrong ones, unknown users, and the bounded pool."""

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from miaosha.adapters.passwords import Argon2Passwords
from miaosha.domain.errors import Overloaded


@pytest.fixture
def passwords() -> Iterator[Argon2Passwords]:
    """Cheap parameters: the library's work is not what is tested."""
    passwords = Argon2Passwords(queue_max=2, workers=1, memory_kib=64, time_cost=1)
    yield passwords
    passwords.close()


async def test_round_trip(passwords: Argon2Passwords) -> None:
    encoded = await passwords.hash("correct horse 秒殺")
    assert encoded.startswith("$argon2id$")
    assert await passwords.verify("correct horse 秒殺", encoded)
    assert not await passwords.verify("correct horse", encoded)
    assert await passwords.hash("correct horse 秒殺") != encoded
    assert not passwords.outdated(encoded)


@pytest.mark.parametrize("encoded", [None, "", "$2b$12$abcdefghijklmnopqrstuv", "rubbish"])
async def test_unusable_hashes_verify_nothing(
    passwords: Argon2Passwords, encoded: str | None
) -> None:
    assert not await passwords.verify("whatever", encoded)


async def test_odd_passwords(passwords: Argon2Passwords) -> None:
    for password in ("", "\0", "\ud800", "x" * 128):
        assert await passwords.verify(password, await passwords.hash(password))
    assert not await passwords.verify("x" * 129, await passwords.hash("x" * 128))


async def test_outdated(passwords: Argon2Passwords) -> None:
    strong = Argon2Passwords(workers=1, memory_kib=128, time_cost=1)
    assert strong.outdated(await passwords.hash("x"))
    assert strong.outdated("rubbish")
    strong.close()


async def test_unknown_user_costs_the_same() -> None:
    passwords = Argon2Passwords(workers=1, memory_kib=4_096, time_cost=2)
    encoded = await passwords.hash("right")

    async def cost(password: str, stored: str | None) -> float:
        best = 10.0
        for _ in range(5):
            started = time.thread_time_ns(), time.perf_counter()
            await passwords.verify(password, stored)
            best = min(best, time.perf_counter() - started[1])
        return best

    known, unknown = await cost("wrong", encoded), await cost("wrong", None)
    passwords.close()
    assert 0.3 < unknown / known < 3


async def test_defaults_are_those_of_owasp() -> None:
    passwords = Argon2Passwords(workers=1)
    assert (await passwords.hash("x")).startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    passwords.close()


async def test_queue_has_a_limit_and_permits_come_back(passwords: Argon2Passwords) -> None:
    gate = threading.Event()
    busy = [asyncio.ensure_future(passwords._run(gate.wait)) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="password_queue_max"):
        await passwords.hash("x")
    gate.set()
    await asyncio.gather(*busy)
    assert await passwords.hash("x")


async def test_a_client_that_hangs_up_frees_no_worker(passwords: Argon2Passwords) -> None:
    gate = threading.Event()
    running = asyncio.ensure_future(passwords._run(gate.wait))
    waiting = [asyncio.ensure_future(passwords._run(gate.wait)) for _ in range(2)]
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait({running})
    with pytest.raises(Overloaded):  # its work goes on: no permit yet
        await passwords.hash("x")
    waiting[0].cancel()  # this one had not begun: its permit is free
    await asyncio.wait({waiting[0]})
    async with asyncio.timeout(10):
        while passwords._permits < 1:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    gate.set()
    await waiting[1]


async def test_after_the_end_it_is_full() -> None:
    """For a request that outlived the drain of its role."""
    closed = Argon2Passwords(queue_max=2, workers=1, memory_kib=64, time_cost=1)
    closed.close()
    with pytest.raises(Overloaded, match="password_queue_max"):
        await closed.hash("whatever")
