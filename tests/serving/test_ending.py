"""Ending tasks: each for certain."""

import asyncio

import pytest

from miaosha.serving.ending import end


async def test_a_task_that_lost_its_cancellation_is_ended_all_the_same() -> None:
    asked = 0

    async def deaf() -> None:
        nonlocal asked
        while asked < 3:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                asked += 1

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    await asyncio.wait_for(end([task], again_s=0.01), 20)
    assert task.done() and asked == 3


async def test_their_errors_are_not_its_own() -> None:
    async def breaks() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise RuntimeError("while it ended")

    task = asyncio.create_task(breaks())
    await asyncio.sleep(0)
    await end([task])
    with pytest.raises(RuntimeError, match="while it ended"):
        task.result()
    await end([])
    await end([task])
