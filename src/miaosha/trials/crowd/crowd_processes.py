"""Crowd processes: the processes of the crowd, started, listened to, and ended."""

import asyncio
import contextlib
import random
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from miaosha.adapters.whole_files import write_whole
from miaosha.supervisor.die_with_parent import die_with_parent
from miaosha.trials.crowd.crowd_plan import (
    WEIGHTS,
    BuyerKind,
    CrowdPlan,
    CrowdProgress,
    View,
    Visitor,
)

PER_PROCESS = 4_000  # buyers of one process: its sockets stay well under 20,000 descriptors
LAST_QUESTIONS_S = 90.0


def kinds(count: int, seed: int) -> list[BuyerKind]:
    """Behaviours for `count` buyers by WEIGHTS, the same for the same seed."""
    dice = random.Random(f"kinds:{seed}")  # noqa: S311 - a play
    return dice.choices(list(WEIGHTS), weights=list(WEIGHTS.values()), k=count)


def source_address(number: int) -> str:
    """Where buyer `number` comes from: 127.0.x.y, about ten buyers an address."""
    place = number // 10
    return f"127.0.{1 + place // 250 % 250}.{1 + place % 250}"


def rush_s(count: int) -> float:
    """Mean seconds between the opening and a first press: a crowd of thousands shares this
    machine's processors with the platform it storms."""
    return max(0.3, count / 2500)


class CrowdProcesses:
    """The crowd's processes. `progress` is their sum; `views` what they saw, once finished."""

    def __init__(self, plan: CrowdPlan, directory: Path) -> None:
        self._plan = plan
        self._directory = directory
        self._processes: list[Process] = []
        self._said: dict[int, CrowdProgress] = {}
        self._readers: list[asyncio.Task[None]] = []

    async def start(self, log: Path) -> None:
        people = self._plan.people
        shares = max(1, -(-len(people) // PER_PROCESS))
        for share in range(shares):
            out = self._directory / f"crowd-{share}.views"
            plan = msgspec.structs.replace(self._plan, people=people[share::shares], out=str(out))
            path = self._directory / f"crowd-{share}.plan"
            write_whole(path, msgspec.msgpack.encode(plan))
            with log.open("ab") as errors:
                process = await asyncio.create_subprocess_exec(
                    *die_with_parent([sys.executable, "-m", "miaosha.trials.crowd", str(path)]),
                    stdin=PIPE,
                    stdout=PIPE,
                    stderr=errors,
                    process_group=0,
                )
            self._processes.append(process)
            self._readers.append(asyncio.create_task(self._read(share, process)))

    async def _read(self, share: int, process: Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            with contextlib.suppress(msgspec.MsgspecError):
                self._said[share] = msgspec.json.decode(line, type=CrowdProgress)

    @property
    def progress(self) -> CrowdProgress:
        said = list(self._said.values())
        names = [name for name in CrowdProgress.__struct_fields__ if name != "ended"]
        sums = {name: sum(getattr(p, name) for p in said) for name in names}
        return CrowdProgress(**sums, ended=bool(said) and all(p.ended for p in said))

    @property
    def alive(self) -> bool:
        return all(process.returncode is None for process in self._processes)

    async def finish(self) -> list[View]:
        """Tell them the sale is settled. Returns all views, but those of a process that died."""
        for process in self._processes:
            if process.stdin and process.returncode is None:
                with contextlib.suppress(OSError):
                    process.stdin.write(b"finish\n")
                    await process.stdin.drain()
        waits = [asyncio.create_task(process.wait()) for process in self._processes]
        if waits:
            await asyncio.wait(waits, timeout=LAST_QUESTIONS_S)
        await self.stop()
        return self._views()

    def _views(self) -> list[View]:
        views: list[View] = []
        for path in sorted(self._directory.glob("crowd-*.views")):
            views += msgspec.msgpack.decode(path.read_bytes(), type=list[View])
        return sorted(views, key=lambda view: view.number)

    async def stop(self) -> None:
        """End the processes at once."""
        for process in self._processes:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
            await process.wait()
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)


def people(
    ids: Sequence[int], tokens: Mapping[int, str], sign_ups: int, seed: int
) -> list[Visitor]:
    """The buyers: those with an account in the order of `ids`, then those who sign up first."""
    behaviours = kinds(len(ids) + sign_ups, seed)
    known = [
        Visitor(i, source_address(i), behaviours[i], user_id=user_id, token=tokens[user_id])
        for i, user_id in enumerate(ids)
    ]
    new = [
        Visitor(
            i,
            source_address(i),
            behaviours[i],
            email=f"visitor-{i}@crowd.example",
            password=f"{random.Random(f'{seed}:{i}').getrandbits(64):016x}-Az",  # noqa: S311
        )
        for i in range(len(ids), len(ids) + sign_ups)
    ]
    return known + new
