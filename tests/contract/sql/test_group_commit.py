"""Group commit: rounds that are cut off. Every caller hears of it at once; the next round runs."""

import asyncio
from collections.abc import Sequence

import pytest

from miaosha.adapters.sql.database import Bulk
from miaosha.adapters.sql.group_commit import GroupCommit
from miaosha.domain.errors import DependencyDown, OutcomeUnknown

PATIENCE_S = 60.0  # what a caller would wait if nobody told him
AT_ONCE_S = 10.0


class Gate:
    """Rounds that wait for `open`; together they fail while `spoilt`, so each item runs alone."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.spoilt = False
        bulk: Bulk[int, int] = Bulk(lambda _, items: items, key=lambda item: item)
        self.group = GroupCommit(bulk, self._together, self._alone, PATIENCE_S)

    async def _together(self, items: Sequence[int]) -> Sequence[int]:
        if self.spoilt:
            raise DependencyDown("a test")
        await self.open.wait()
        return items

    async def _alone(self, item: int) -> int:
        await self.open.wait()
        return item

    def submit(self, *items: int) -> list[asyncio.Task[int]]:
        return [asyncio.create_task(self.group.submit(item)) for item in items]

    def cut_off(self) -> None:
        """Cancel all that runs, as a loop does that ends."""
        for task in set(self.group._tasks):
            task.cancel()

    async def works(self) -> None:
        self.open.set()
        self.spoilt = False
        assert await asyncio.wait_for(asyncio.gather(*self.submit(8, 9)), AT_ONCE_S) == [8, 9]
        await self.group.flush()


async def steps() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_of_a_round_that_is_cut_off_nobody_knows_and_the_waiting_run_next() -> None:
    gate = Gate()
    running = gate.submit(1)
    await steps()
    waiting = gate.submit(2, 3)
    await steps()
    gate.cut_off()
    with pytest.raises(OutcomeUnknown):
        await asyncio.wait_for(running[0], AT_ONCE_S)
    gate.open.set()
    assert await asyncio.wait_for(asyncio.gather(*waiting), AT_ONCE_S) == [2, 3]
    await gate.works()


async def test_a_round_that_is_cut_off_before_its_first_step_is_run_by_another() -> None:
    gate = Gate()
    running = gate.submit(1)
    await asyncio.sleep(0)
    gate.cut_off()
    gate.open.set()
    assert await asyncio.wait_for(running[0], AT_ONCE_S) == 1
    await gate.works()


@pytest.mark.parametrize("begun", [False, True], ids=["before its first step", "on its way"])
async def test_of_an_item_that_is_cut_off_while_it_runs_alone_nobody_knows(begun: bool) -> None:
    gate = Gate()
    gate.spoilt = True
    running = gate.submit(1, 2)
    while len(gate.group._tasks) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0)
    if begun:
        await steps()
    gate.cut_off()
    for task in running:
        with pytest.raises(OutcomeUnknown):
            await asyncio.wait_for(task, AT_ONCE_S)
    await gate.works()
