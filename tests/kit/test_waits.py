"""A wait ends as soon as its condition is true, and names it when that does not come."""

import asyncio
import itertools

import pytest

from tests.kit.waits import PAUSE_MAX_S, eventually, pause_s, until


async def test_it_waits_for_a_condition_and_for_what_awaits_to_one() -> None:
    plain, awaited = itertools.count(), itertools.count()

    async def third() -> bool:
        return next(awaited) == 3

    await until(lambda: next(plain) == 3)
    await until(third)
    assert (next(plain), next(awaited)) == (4, 4)


async def test_what_did_not_come_is_named() -> None:
    never = False
    with pytest.raises(AssertionError, match="not within 0 s: the moon"):
        await until(lambda: never, 0.01, what="the moon")
    with pytest.raises(AssertionError, match=r"until\(lambda: never, 0.01\)"):
        await until(lambda: never, 0.01)
    with pytest.raises(AssertionError, match="the sun"):
        eventually(lambda: never, 0.01, what="the sun")


async def test_a_look_that_does_not_end_is_no_excuse() -> None:
    with pytest.raises(AssertionError, match="an answer"):
        await until(lambda: asyncio.sleep(60), 0.01, what="an answer")


async def test_a_condition_that_fails_fails_the_test() -> None:
    async def late() -> bool:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        await until(late)


def test_looks_become_seldom_and_dear_ones_more_so() -> None:
    assert pause_s(0, 0.0001) == 0
    assert pause_s(10_000, 0.0001) == PAUSE_MAX_S
    assert pause_s(0, 2.0) == 2.0
