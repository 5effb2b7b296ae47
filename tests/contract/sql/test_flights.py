"""Flights that are cut off: whoever waits hears of it at once, and the next one flies."""

import asyncio
from collections.abc import Sequence

import pytest

from miaosha.adapters.sql.database import Bulk
from miaosha.adapters.sql.group_commit import Flights
from miaosha.domain.errors import DependencyDown, OutcomeUnknown

PATIENCE_S = 60.0  # what a caller would wait if nobody told him
AT_ONCE_S = 10.0


class Hangar:
    """Flights that wait for `open`; together they fail while `spoilt`, so that each flies alone."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.spoilt = False
        bulk: Bulk[int, int] = Bulk(lambda _, items: items, key=lambda item: item)
        self.flights = Flights(bulk, self._together, self._alone, PATIENCE_S)

    async def _together(self, items: Sequence[int]) -> Sequence[int]:
        if self.spoilt:
            raise DependencyDown("a test")
        await self.open.wait()
        return items

    async def _alone(self, item: int) -> int:
        await self.open.wait()
        return item

    def fly(self, *items: int) -> list[asyncio.Task[int]]:
        return [asyncio.create_task(self.flights.fly(item)) for item in items]

    def cut_off(self) -> None:
        """Cancel all that flies, as a loop does that ends."""
        for task in set(self.flights._tasks):
            task.cancel()

    async def works(self) -> None:
        self.open.set()
        self.spoilt = False
        assert await asyncio.wait_for(asyncio.gather(*self.fly(8, 9)), AT_ONCE_S) == [8, 9]
        await self.flights.land()


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_of_a_flight_that_is_cut_off_nobody_knows_and_the_waiting_fly_next() -> None:
    hangar = Hangar()
    flying = hangar.fly(1)
    await turns()
    waiting = hangar.fly(2, 3)
    await turns()
    hangar.cut_off()
    with pytest.raises(OutcomeUnknown):
        await asyncio.wait_for(flying[0], AT_ONCE_S)
    hangar.open.set()
    assert await asyncio.wait_for(asyncio.gather(*waiting), AT_ONCE_S) == [2, 3]
    await hangar.works()


async def test_a_flight_that_is_cut_off_before_its_first_step_is_flown_by_another() -> None:
    hangar = Hangar()
    flying = hangar.fly(1)
    await asyncio.sleep(0)
    hangar.cut_off()
    hangar.open.set()
    assert await asyncio.wait_for(flying[0], AT_ONCE_S) == 1
    await hangar.works()


@pytest.mark.parametrize("begun", [False, True], ids=["before its first step", "on its way"])
async def test_of_an_item_that_is_cut_off_while_it_flies_alone_nobody_knows(begun: bool) -> None:
    hangar = Hangar()
    hangar.spoilt = True
    flying = hangar.fly(1, 2)
    while len(hangar.flights._tasks) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0)
    if begun:
        await turns()
    hangar.cut_off()
    for task in flying:
        with pytest.raises(OutcomeUnknown):
            await asyncio.wait_for(task, AT_ONCE_S)
    await hangar.works()
