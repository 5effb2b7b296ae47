"""Calls that go together: gathered while a round is under way, apart by key, failing as one."""

import asyncio
from collections.abc import Sequence

import pytest

from miaosha.domain.errors import DependencyDown, OutcomeUnknown
from miaosha.usecases.coalesce import ROUND_MAX, Coalescer


class Rounds:
    """What was done, and a gate every round waits at."""

    def __init__(self) -> None:
        self.done: list[tuple[str, list[int]]] = []
        self.open = asyncio.Event()
        self.coalescer = Coalescer(self._act)

    async def _act(self, key: str, items: Sequence[int]) -> None:
        self.done.append((key, list(items)))
        await self.open.wait()
        if -1 in items:
            raise DependencyDown("a test")

    def add(self, *items: int, key: str = "a") -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self.coalescer.add(key, item)) for item in items]


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_one_goes_at_once_and_who_comes_meanwhile_goes_in_the_next_round() -> None:
    rounds = Rounds()
    first = rounds.add(1)
    await settled()
    rest = rounds.add(2, 3, 4)
    await settled()
    assert rounds.done == [("a", [1])]
    rounds.open.set()
    await asyncio.wait_for(asyncio.gather(*first, *rest), 20)
    assert rounds.done == [("a", [1]), ("a", [2, 3, 4])]
    await asyncio.wait_for(asyncio.gather(*rounds.add(5)), 20)
    assert rounds.done[-1] == ("a", [5])


async def test_a_key_does_not_wait_for_another_and_a_round_has_a_limit() -> None:
    rounds = Rounds()
    adding = rounds.add(0, key="a") + rounds.add(0, key="b")
    await settled()
    assert rounds.done == [("a", [0]), ("b", [0])]
    adding += rounds.add(*range(ROUND_MAX + 1))
    rounds.open.set()
    await asyncio.wait_for(asyncio.gather(*adding), 20)
    assert [len(items) for _, items in rounds.done] == [1, 1, ROUND_MAX, 1]


async def test_a_round_that_fails_fails_for_all_of_it_and_the_next_goes_on() -> None:
    rounds = Rounds()
    first = rounds.add(0)
    await settled()
    spoilt = rounds.add(1, -1)
    rounds.open.set()
    await asyncio.wait_for(asyncio.gather(*first), 20)
    for task in spoilt:
        with pytest.raises(DependencyDown):
            await asyncio.wait_for(task, 20)
    await asyncio.wait_for(asyncio.gather(*rounds.add(2)), 20)


async def test_what_a_caller_who_leaves_asked_for_is_done() -> None:
    rounds = Rounds()
    first = rounds.add(1)
    await settled()
    [leaver, stays] = rounds.add(2, 3)
    await settled()
    leaver.cancel()
    rounds.open.set()
    await asyncio.wait_for(asyncio.gather(*first, stays), 20)
    assert rounds.done == [("a", [1]), ("a", [2, 3])]
    assert leaver.cancelled()


def all_tasks_but(*own: asyncio.Task[None]) -> set[asyncio.Task[object]]:
    return asyncio.all_tasks() - {asyncio.current_task(), *own}


@pytest.mark.parametrize("begun", [False, True], ids=["before its first step", "in a round"])
async def test_whoever_waits_hears_of_it_when_the_rounds_are_cut_off(begun: bool) -> None:
    rounds = Rounds()
    first = rounds.add(1)
    await asyncio.sleep(0)  # it waits, and its round is a task that has not run yet
    rest: list[asyncio.Task[None]] = []
    if begun:
        await settled()
        rest = rounds.add(2, 3)
        await settled()
    [running] = all_tasks_but(*first, *rest)
    running.cancel()
    for task in first:
        with pytest.raises(OutcomeUnknown if begun else DependencyDown):
            await asyncio.wait_for(task, 20)
    for task in rest:
        with pytest.raises(DependencyDown):
            await asyncio.wait_for(task, 20)
    assert running.cancelled()
    rounds.open.set()
    await asyncio.wait_for(asyncio.gather(*rounds.add(4)), 20)
    assert rounds.done[-1] == ("a", [4])


async def test_who_comes_just_as_the_rounds_end_is_taken_along() -> None:
    rounds = Rounds()
    rounds.open.set()
    late: list[asyncio.Task[None]] = []
    first = rounds.add(1)
    await asyncio.sleep(0)
    [running] = all_tasks_but(*first)
    running.add_done_callback(lambda _: late.extend(rounds.add(2)))
    await asyncio.wait_for(asyncio.gather(*first), 20)
    await settled()
    await asyncio.wait_for(asyncio.gather(*late), 20)
    assert rounds.done == [("a", [1]), ("a", [2])]
