"""The timer wheel: deadlines fire when they are due, in slices."""

import asyncio

from miaosha.serving.wheel import SLICE, Wheel
from tests.kit.clocks import HandClock


async def test_entries_fire_when_due_and_not_before() -> None:
    hand, fired = HandClock(), list[str]()
    wheel = Wheel(hand.monotonic, 0.25)
    wheel.schedule(fired.append, "late", 5.0)
    wheel.schedule(fired.append, "soon", 0.25)
    wheel.schedule(fired.append, "now", 0.0)
    steps = [(0, []), (250, ["now"]), (150, ["now"]), (100, ["now", "soon"])]
    for passed_ms, expected in steps:
        hand.advance(passed_ms)
        await wheel.advance()
        assert fired == expected
    assert list(wheel) == ["late"]
    hand.advance(99_500)  # the loop was stuck for a while
    await wheel.advance()
    assert fired == ["now", "soon", "late"]
    assert list(wheel) == []


async def test_an_entry_may_schedule_itself() -> None:
    hand, fired = HandClock(), list[float]()
    wheel = Wheel(hand.monotonic, 0.25)

    def again(item: str) -> None:
        fired.append(hand.monotonic())
        wheel.schedule(again, item, 0.25)

    wheel.schedule(again, "x", 0.25)
    for _ in range(50):
        hand.advance(250)
        await wheel.advance()
    assert 24 <= len(fired) <= 50


async def test_a_storm_is_served_in_slices() -> None:
    hand, fired = HandClock(), list[int]()
    wheel = Wheel(hand.monotonic, 0.1)
    for number in range(10 * SLICE):
        wheel.schedule(fired.append, number, 0.1)
    hand.advance(1_000)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while len(fired) < 10 * SLICE:
            turns += 1
            await asyncio.sleep(0)

    await asyncio.gather(wheel.advance(), others())
    assert sorted(fired) == list(range(10 * SLICE))
    assert turns >= 9
