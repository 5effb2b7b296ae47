"""Ending: ends tasks, each for certain, and tells a cancellation of ours from a library's."""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

AGAIN_S: Final = 2.0  # longer than any task takes to put its things in order


def cancellations() -> int:
    """How often this task was told to end. A CancelledError with no further one is a library's."""
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


async def end(tasks: Iterable["asyncio.Task[Any]"], again_s: float = AGAIN_S) -> None:
    """Cancel `tasks`, and wait until all have ended; raises none of their errors.

    A task that goes on is cancelled again after `again_s` seconds: `asyncio.wait_for` of Python
    3.11 swallows a cancellation that comes together with its answer (python/cpython#86296), and a
    library may use it. The task would then work on what is being closed.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=again_s)
