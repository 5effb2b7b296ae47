"""Generator process: `python -m bench.generator_process`, driven over pipes by its parent.

In: a Job. Out: `ready`. In: the start, time.monotonic seconds. Out: a Tally. Each is msgpack with
its length in front.
"""

import asyncio
import gc
import os
import struct
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from bench.load import Generator, Load, spread
from bench.presses import Presses, Raw, Source, shares
from bench.tally import Tally, together
from miaosha.supervisor.die_with_parent import die_with_parent

NICE = 5  # as the publishers: a generator of a machine of its own would take nothing from the rest
MESSAGE_MAX = 1 << 30
BUILT_WITHIN_S = 120.0
SLACK_S = 60.0
Message = TypeVar("Message")


class Job(msgspec.Struct, frozen=True):
    load: Load
    source: Presses | Raw


class GeneratorProcesses:
    """Generator processes that carry one load together."""

    def __init__(self, load: Load, source: Source, processes: int) -> None:
        loads, crowds = spread(load, processes), shares(source, processes)
        self._jobs = [Job(each, crowd) for each, crowd in zip(loads, crowds, strict=True)]
        self._within_s = load.seconds + load.grace_s + SLACK_S
        self._processes: list[Process] = []

    async def __aenter__(self) -> "GeneratorProcesses":
        """Ready: everything is built. Raises RuntimeError or TimeoutError."""
        try:
            for job in self._jobs:
                command = die_with_parent([sys.executable, "-m", "bench.generator_process"])
                process = await asyncio.create_subprocess_exec(
                    *command, stdin=PIPE, stdout=PIPE, process_group=0
                )
                self._processes.append(process)
                await _send(process, job)
            async with asyncio.timeout(BUILT_WITHIN_S):
                for process in self._processes:
                    await _receive(process, str)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._processes]

    async def run(self, start: float) -> Tally:
        """The whole load from `start` (time.monotonic). Raises RuntimeError, TimeoutError."""
        for process in self._processes:
            await _send(process, start)
        async with asyncio.timeout(self._within_s + start - time.monotonic()):
            tallies = await asyncio.gather(*(_receive(p, Tally) for p in self._processes))
        return together(tallies)

    async def __aexit__(self, *_: object) -> None:
        for process in self._processes:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _send(process: Process, message: object) -> None:
    assert process.stdin is not None
    raw = msgspec.msgpack.encode(message)
    process.stdin.write(struct.pack("!I", len(raw)) + raw)
    await process.stdin.drain()


async def _receive(process: Process, kind: type[Message]) -> Message:
    assert process.stdout is not None
    try:
        size = struct.unpack("!I", await process.stdout.readexactly(4))[0]
        raw = await process.stdout.readexactly(size)
    except asyncio.IncompleteReadError:
        raise RuntimeError("a generator process died; see its message above") from None
    return msgspec.msgpack.decode(raw, type=kind)


def _read(kind: type[Message]) -> Message:
    size = struct.unpack("!I", sys.stdin.buffer.read(4))[0]
    assert size <= MESSAGE_MAX
    return msgspec.msgpack.decode(sys.stdin.buffer.read(size), type=kind)


def _write(message: object) -> None:
    raw = msgspec.msgpack.encode(message)
    sys.stdout.buffer.write(struct.pack("!I", len(raw)) + raw)
    sys.stdout.buffer.flush()


def main() -> None:
    os.nice(NICE)
    job = _read(Job)
    requests: Sequence[bytes] = job.source.build()
    generator = Generator(job.load, requests)
    gc.collect()
    gc.freeze()
    gc.disable()  # nothing here is cyclic, and a pause would be taken for the server's
    _write("ready")
    start = _read(float)
    generator.connect()  # only now: the edge ends connections that stay silent
    _write(generator.run(start))


if __name__ == "__main__":
    main()
