"""Client processes: their leader starts them, gives them orders, and adds up what they say."""

import asyncio
import contextlib
import sys
import time
from array import array
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from miaosha.adapters.whole_files import write_whole
from miaosha.supervisor.die_with_parent import die_with_parent
from miaosha.trials.rehearsal.client_protocol import (
    Arm,
    ClientPlan,
    ClientProgress,
    ClientReport,
    Go,
    Moments,
    Order,
    Said,
    Stop,
    Storm,
    Tell,
)

LINE_MAX: Final = 64 * 2**20  # bytes of one line: the moments of 20,000 sockets, many times
ANSWER_S: Final = 60.0
READY_S: Final = 120.0  # for all processes to have started
STOP_S: Final = 30.0
_decode = msgspec.json.Decoder(ClientReport).decode
IN_FLIGHT_MAX: Final = 2_048  # of all processes: more only wait in the servers' queues
PER_PROCESS: Final = 256  # of one of them
LOOKS_PER_S: Final = (
    2_000  # of all processes, at their sockets: each look takes a core from a server
)
_NO_SUMS: Final = ("settled_at", "silence_s", "failed", "lost")
_SUMS: Final = [name for name in Said.__struct_fields__ if name not in _NO_SUMS]


class Gathered:
    """Moments of all processes together, sorted."""

    def __init__(self, told: Sequence[Moments]) -> None:
        self.arrived = _sorted([moments.arrived for moments in told])
        self.latencies = _sorted([moments.latencies for moments in told])
        self.connects = _sorted([moments.connects for moments in told])


class ClientProcess:
    """One client process. `said` is what it said last."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.said = Said()
        self.empty_bytes = 0  # its memory before its first socket
        self.reading = asyncio.create_task(self._read())
        self._moments: asyncio.Queue[Moments] = asyncio.Queue(1)

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for raw in self.process.stdout:
            line = _decode(raw)
            if isinstance(line, ClientProgress):
                self.said = line.said
                self.empty_bytes = self.empty_bytes or line.said.memory
            else:
                await self._moments.put(line)

    async def order(self, order: Order) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.write(msgspec.json.encode(order) + b"\n")
            await self.process.stdin.drain()

    async def moments(self) -> Moments:
        """Raises TimeoutError."""
        await self.order(Tell())
        async with asyncio.timeout(ANSWER_S):
            return await self._moments.get()

    async def stop(self) -> None:
        await self.order(Stop())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await self.process.wait()
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        self.reading.cancel()
        await asyncio.gather(self.reading, return_exceptions=True)


class ClientProcesses:
    """All client processes of a rehearsal."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._clients: list[ClientProcess] = []

    async def start(self, plans: Sequence[ClientPlan]) -> None:
        for number, plan in enumerate(plans):
            path = self._directory / f"sockets-{number}.plan"
            write_whole(path, msgspec.msgpack.encode(plan))
            process = await asyncio.create_subprocess_exec(
                *die_with_parent([sys.executable, "-m", "miaosha.trials.rehearsal", str(path)]),
                stdin=PIPE,
                stdout=PIPE,
                process_group=0,
                limit=LINE_MAX,
            )
            self._clients.append(ClientProcess(process))

    async def go(self) -> float:
        """Wait until all of them are there, and let them begin; when that was (monotonic seconds).
        Raises TimeoutError."""
        async with asyncio.timeout(READY_S):
            while not all(client.empty_bytes for client in self._clients):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        began = time.monotonic()
        await asyncio.gather(*(client.order(Go()) for client in self._clients))
        return began

    @property
    def alive(self) -> bool:
        return all(client.process.returncode is None for client in self._clients)

    @property
    def said(self) -> Said:
        """The sum; `settled_at` the last one's, 0 while one is not settled."""
        each = [client.said for client in self._clients]
        sums = {name: sum(getattr(said, name) for said in each) for name in _SUMS}
        settled = [said.settled_at for said in each]
        return Said(
            **sums,
            settled_at=max(settled) if all(settled) else 0.0,
            silence_s=max((said.silence_s for said in each), default=0.0),
            failed=_added([said.failed for said in each]),
            lost=_added([said.lost for said in each]),
        )

    def grown(self) -> int:
        """Bytes the client processes took for their sockets."""
        return sum(client.said.memory - client.empty_bytes for client in self._clients)

    async def arm(self, marker: str) -> None:
        """Returns when every client process looks out for it. Raises TimeoutError."""
        wanted = self.said.arms + len(self._clients)
        await asyncio.gather(*(client.order(Arm(marker)) for client in self._clients))
        async with asyncio.timeout(ANSWER_S):
            while self.said.arms < wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def storm(self, sockets: int) -> None:
        """Each process drops its even share of `sockets`."""
        shares = _shares(sockets, len(self._clients))
        for client in self._clients:
            client.said.settled_at = 0.0  # what it said before is of before
        orders = zip(self._clients, shares, strict=True)
        await asyncio.gather(*(client.order(Storm(share)) for client, share in orders if share))

    async def gather(self) -> Gathered:
        """What was noted since the last time. Raises TimeoutError."""
        return Gathered(await asyncio.gather(*(client.moments() for client in self._clients)))

    async def stop(self) -> None:
        await asyncio.gather(*(client.stop() for client in self._clients))


def _shares(number: int, among: int) -> list[int]:
    return [number * (i + 1) // among - number * i // among for i in range(among)]


def plans(whole: ClientPlan, per_process: int) -> list[ClientPlan]:
    """`whole` split over as few processes as hold its sockets."""
    among = max(1, -(-whole.connections // per_process))
    found, first = [], whole.first
    for share in _shares(whole.connections, among):
        found.append(
            msgspec.structs.replace(
                whole,
                first=first,
                connections=share,
                rate_per_s=whole.rate_per_s / among,
                in_flight_max=max(1, min(PER_PROCESS, IN_FLIGHT_MAX // among)),
                pause_s=among / LOOKS_PER_S,
            )
        )
        first += share
    return found


def _sorted(arrays: Sequence[bytes]) -> "array[float]":
    joined = array("d")
    for raw in arrays:
        joined.frombytes(raw)
    return array("d", sorted(joined))


def _added(counts: Sequence[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for each in counts:
        for kind, number in each.items():
            total[kind] = total.get(kind, 0) + number
    return dict(sorted(total.items(), key=lambda item: -item[1]))
