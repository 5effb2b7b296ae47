"""The store's clock as a role sees it."""

import asyncio
import time

import pytest

from miaosha.adapters import clock as clock_module
from miaosha.adapters.clock import STEP_MAX_MS, StoreClock
from miaosha.adapters.redis.connect import connect, reaching
from miaosha.adapters.redis.reminders import server_ms
from miaosha.domain.errors import DependencyDown
from miaosha.supervisor.servers.valkey import Valkey
from tests.kit.waits import until

NEAR_MS = 5_000  # what a busy machine may take between two looks; wrong clocks are further off


class Store:
    """A store whose clock is `ahead_ms` ahead of this machine's steady clock."""

    def __init__(self, ahead_ms: float) -> None:
        self.ahead_ms = ahead_ms
        self.away = False
        self.asked = 0

    async def now_ms(self) -> int:
        self.asked += 1
        if self.away:
            raise DependencyDown("store")
        return int(time.monotonic() * 1000 + self.ahead_ms)


def error_ms(clock: StoreClock, store: Store) -> float:
    return abs(clock.now_ms() - (time.monotonic() * 1000 + store.ahead_ms))


async def test_follows_the_store() -> None:
    store = Store(5_000_000)
    clock = StoreClock(store.now_ms, refresh_s=0.01)
    await clock.start()
    assert error_ms(clock, store) < NEAR_MS
    store.ahead_ms += STEP_MAX_MS - 1_000  # clocks drift apart so far, without one being set
    await until(lambda: error_ms(clock, store) < 500)
    assert clock.step_ms() == 0
    await clock.stop()


async def test_never_goes_back() -> None:
    store = Store(5_000_000)
    clock = StoreClock(store.now_ms)
    assert await clock.refresh()
    before = clock.now_ms()
    store.ahead_ms -= 500
    await clock.refresh()
    assert clock.now_ms() == before  # stands still until the store has caught up
    store.ahead_ms += 600
    await clock.refresh()
    assert clock.now_ms() > before


HOUR_MS = 3_600_000


@pytest.mark.parametrize("step_ms", [HOUR_MS, -HOUR_MS, STEP_MAX_MS + 1_000])
async def test_a_step_is_told_not_followed_and_forgotten_when_it_is_put_right(step_ms: int) -> None:
    store = Store(5_000_000)
    clock = StoreClock(store.now_ms, believe_s=600)
    await clock.refresh()
    before = clock.now_ms()
    store.ahead_ms += step_ms
    for _ in range(3):
        await clock.refresh()
        assert abs(clock.step_ms() - step_ms) < 500
    assert 0 <= clock.now_ms() - before < NEAR_MS
    store.ahead_ms -= step_ms
    await clock.refresh()
    assert clock.step_ms() == 0
    assert error_ms(clock, store) < 500, "time did not stand still for an hour"


@pytest.mark.parametrize("step_ms", [HOUR_MS, -HOUR_MS])
async def test_a_step_that_stays_is_believed_also_backwards(step_ms: int) -> None:
    store = Store(5_000_000)
    clock = StoreClock(store.now_ms, refresh_s=0.01, believe_s=0.3)
    await clock.start()
    store.ahead_ms += step_ms
    await until(lambda: clock.step_ms() != 0)
    await until(lambda: clock.step_ms() == 0)
    assert error_ms(clock, store) < 500
    await clock.stop()


async def test_a_clock_that_goes_on_jumping_is_not_believed() -> None:
    store = Store(5_000_000)
    clock = StoreClock(store.now_ms, believe_s=0.2)
    await clock.refresh()
    began = time.monotonic()
    while time.monotonic() - began < 1:
        store.ahead_ms += 2 * STEP_MAX_MS
        await clock.refresh()
        await asyncio.sleep(0.02)
    assert abs(clock.now_ms() - (time.monotonic() * 1000 + 5_000_000)) < NEAR_MS


async def test_keeps_time_while_the_store_is_away() -> None:
    store = Store(5_000_000)
    store.away = True
    clock = StoreClock(store.now_ms, refresh_s=0.01)
    await clock.start()
    assert abs(clock.now_ms() - time.time() * 1000) < NEAR_MS  # its own clock for now
    store.away = False
    await until(lambda: error_ms(clock, store) < NEAR_MS)
    store.away = True
    asked = store.asked
    await until(lambda: store.asked > asked + 2)
    assert error_ms(clock, store) < NEAR_MS
    store.away = False
    asked = store.asked
    await until(lambda: store.asked > asked)
    await clock.stop()
    await clock.stop()


async def test_half_the_round_trip_is_taken_off() -> None:
    async def slow() -> int:
        await asyncio.sleep(0.05)
        answer = int(time.monotonic() * 1000)
        await asyncio.sleep(0.05)
        return answer

    clock = StoreClock(slow)
    async with asyncio.timeout(30):  # a busy machine makes one half longer than the other
        while abs(clock.now_ms() - time.monotonic() * 1000) >= 40:
            await clock.refresh()


async def test_an_answer_that_took_too_long_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock_module, "ROUND_TRIP_MAX_S", 0.02)
    store = Store(0)
    clock = StoreClock(store.now_ms)
    await until(clock.refresh)

    async def stuck() -> int:
        await asyncio.sleep(0.05)
        return 10**15

    clock._read_ms = stuck
    assert not await clock.refresh()
    assert error_ms(clock, store) < NEAR_MS


async def test_a_first_answer_that_took_too_long_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clock_module, "ROUND_TRIP_MAX_S", 0.02)
    store = Store(5_000_000)

    async def stuck() -> int:
        told = await store.now_ms()
        await asyncio.sleep(0.05)
        return told

    clock = StoreClock(stuck)
    assert not await clock.refresh()
    assert not clock.synced()
    assert abs(clock.now_ms() - time.time() * 1000) < NEAR_MS, "its own clock for now"
    clock._read_ms = store.now_ms
    await until(clock.refresh)
    assert clock.synced()
    assert error_ms(clock, store) < NEAR_MS


async def test_with_a_real_server(store_server: Valkey) -> None:
    client = connect(store_server.url)

    async def read() -> int:
        with reaching("store"):
            return await server_ms(client)

    clock = StoreClock(read)
    await clock.start()
    assert abs(clock.now_ms() - time.time() * 1000) < NEAR_MS  # the same machine
    await clock.stop()
    await store_server.stop()
    with pytest.raises(DependencyDown):
        await clock.refresh()
    await client.aclose()
