"""The timer wheel: deadlines fire when they are due, in slices."""

import asyncio

from miaosha.serving.wheel import SLICE, Wheel


class Hand:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_entries_fire_when_due_and_not_before() -> None:
    hand, fired = Hand(), list[str]()
    wheel = Wheel(hand, 0.25)
    wheel.schedule(fired.append, "late", 5.0)
    wheel.schedule(fired.append, "soon", 0.25)
    wheel.schedule(fired.append, "now", 0.0)
    for at, expected in [(0.0, []), (0.25, ["now"]), (0.4, ["now"]), (0.5, ["now", "soon"])]:
        hand.now = 100 + at
        await wheel.advance()
        assert fired == expected
    assert list(wheel) == ["late"]
    hand.now = 200.0  # the loop was stuck for a while
    await wheel.advance()
    assert fired == ["now", "soon", "late"]
    assert list(wheel) == []


async def test_an_entry_may_schedule_itself() -> None:
    hand, fired = Hand(), list[float]()
    wheel = Wheel(hand, 0.1)

    def again(item: str) -> None:
        fired.append(hand.now)
        wheel.schedule(again, item, 0.1)

    wheel.schedule(again, "x", 0.1)
    for _ in range(50):
        hand.now += 0.1
        await wheel.advance()
    assert 24 <= len(fired) <= 50


async def test_a_storm_is_served_in_slices() -> None:
    hand, fired = Hand(), list[int]()
    wheel = Wheel(hand, 0.1)
    for number in range(10 * SLICE):
        wheel.schedule(fired.append, number, 0.1)
    hand.now += 1
    turns = 0

    async def others() -> None:
        nonlocal turns
        while len(fired) < 10 * SLICE:
            turns += 1
            await asyncio.sleep(0)

    await asyncio.gather(wheel.advance(), others())
    assert sorted(fired) == list(range(10 * SLICE))
    assert turns >= 9
