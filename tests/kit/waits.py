"""Waits: what a test waits for becomes true within a time, or the test fails and names it."""

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Final

WITHIN_S: Final = 30.0  # for what one process does
PAUSE_S: Final = 0.0005  # after the first look, and so much more after each
PAUSE_MAX_S: Final = 0.05


def named(condition: Callable[[], object], what: str) -> str:
    """`what`, or else the line that the condition is written in."""
    try:
        return what or " ".join(inspect.getsource(condition).split())
    except (OSError, TypeError):
        return str(getattr(condition, "__qualname__", condition))


def pause_s(looks: int, look_s: float) -> float:
    """The time between two looks grows, and is never less than what a look itself takes."""
    return max(min(looks * PAUSE_S, PAUSE_MAX_S), look_s if look_s > PAUSE_S else 0)


async def until(
    condition: Callable[[], object], within_s: float = WITHIN_S, *, what: str = ""
) -> None:
    """Wait, while the loop goes on, until `condition` is true, or returns what awaits to true.

    Args:
        what: names the condition in the failure; without it, its line of source does.

    Raises:
        AssertionError: it was not true within `within_s`, or its last look did not end.
    """
    looks = 0
    try:
        async with asyncio.timeout(within_s) as limit:
            while True:
                began = time.monotonic()
                found = condition()
                if await found if inspect.isawaitable(found) else found:
                    return
                await asyncio.sleep(pause_s(looks, time.monotonic() - began))
                looks += 1
    except TimeoutError:
        if not limit.expired():
            raise
        raise AssertionError(f"not within {within_s:.0f} s: {named(condition, what)}") from None


def eventually(condition: Callable[[], object], within_s: float = 120.0, *, what: str = "") -> None:
    """The same for a test that has no loop, and for whole platforms: it blocks the thread."""
    deadline, looks = time.monotonic() + within_s, 0
    while True:
        began = time.monotonic()
        if condition():
            return
        now = time.monotonic()
        assert now < deadline, f"not within {within_s:.0f} s: {named(condition, what)}"
        time.sleep(pause_s(looks, now - began))
        looks += 1
