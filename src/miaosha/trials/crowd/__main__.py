"""Crowd process: `python -m miaosha.trials.crowd PLAN` runs the buyers of one plan.

A line on standard output a second says how far they are. A line (or the end) of standard input says
that the sale is settled. Then every buyer asks `mine` once more, and the views are written.
"""

import asyncio
import contextlib
import sys
from pathlib import Path

import msgspec
import uvloop

from miaosha.trials.crowd.behaviour import behave
from miaosha.trials.crowd.buyer import Buyer, Crowd
from miaosha.trials.crowd.crowd_plan import CrowdPlan, CrowdProgress, View

LAST_WORDS_S = 60.0


async def crowd(plan: CrowdPlan) -> None:
    """Run every buyer; returns when their views are written."""
    everybody = Crowd(plan)
    everybody.buyers = [Buyer(person, everybody) for person in plan.people]
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), _told, everybody)
    telling = asyncio.create_task(_tell(everybody))
    async with asyncio.TaskGroup() as group:
        for buyer in everybody.buyers:
            group.create_task(_guarded(buyer))
    telling.cancel()
    views = [buyer.view for buyer in everybody.buyers]
    await asyncio.to_thread(_write, Path(plan.out), views)
    _say(everybody, ended=True)


def _told(everybody: Crowd) -> None:
    sys.stdin.readline()
    asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
    everybody.finish()


def _write(path: Path, views: list[View]) -> None:
    path.write_bytes(msgspec.msgpack.encode(views))


async def _guarded(buyer: Buyer) -> None:
    """One buyer; whatever goes wrong in it is a complaint, not the end of the crowd."""
    try:
        await behave(buyer)
    except (OSError, TimeoutError, LookupError, TypeError) as error:
        buyer.complain(f"{type(error).__name__}: {error}")
        await buyer.crowd.over.wait()
    await _last_question(buyer)
    buyer.leave()


async def _last_question(buyer: Buyer) -> None:
    """`mine` for every accepted request, so that each 202 has its outcome."""
    loop = asyncio.get_running_loop()
    end = loop.time() + LAST_WORDS_S
    for rid in buyer.view.accepted:
        while await buyer.ask(rid) in ("", "queued") and loop.time() < end:  # noqa: ASYNC110
            await asyncio.sleep(0.5)


async def _tell(everybody: Crowd) -> None:
    while True:
        _say(everybody)
        await asyncio.sleep(1)


def _say(everybody: Crowd, *, ended: bool = False) -> None:
    tally = everybody.tally
    progress = CrowdProgress(
        people=len(everybody.buyers),
        connected=tally.connected,
        pressed=tally.pressed,
        presses=tally.presses,
        accepted=tally.accepted,
        done=tally.done,
        complaints=tally.complaints,
        ended=ended,
    )
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(msgspec.json.encode(progress).decode() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(crowd(msgspec.msgpack.decode(Path(sys.argv[1]).read_bytes(), type=CrowdPlan)))
