"""Health probes: ask whether a part is ready, and whether it lives.

They ask over its socket, by its heartbeat, and by the processor time it takes.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from miaosha.domain.errors import DependencyDown
from miaosha.ports.heartbeats import Heartbeat, Heartbeats
from miaosha.serving.alive import STARTING, WORD
from miaosha.supervisor.hang_detector import Life
from miaosha.supervisor.machine.usage import stat_fields

ANSWER_S = 2.0
BEATS_EVERY_S = 0.5
UNINTERRUPTIBLE = "D"  # waits for a disk, say; not even a KILL ends that

SAID = {WORD: Life.ALIVE, STARTING: Life.STARTING}

Asked = Callable[[int], Awaitable[bool]]


async def heard(
    where: Path | tuple[str, int], said: bytes = b"", bytes_max: int = 0, within_s: float = ANSWER_S
) -> bytes | None:
    """What the server on that socket, or at that host and port, answers to `said`.

    Args:
        bytes_max: the answer's first bytes; 0: its first line.

    Returns:
        b"" if the server hung up; None if nobody is there, or nothing came in `within_s` seconds.
    """
    with contextlib.suppress(OSError, TimeoutError, ValueError):
        async with asyncio.timeout(within_s):
            opening = (
                asyncio.open_unix_connection(str(where))
                if isinstance(where, Path)
                else asyncio.open_connection(*where)
            )
            reader, writer = await opening
            try:
                writer.write(said)
                return await (reader.read(bytes_max) if bytes_max else reader.readline())
            finally:
                writer.close()
    return None


async def http_ready(socket: Path) -> bool:
    """Does the role behind this unix socket answer 200 to GET /readyz?"""
    asked = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    return b" 200 " in (await heard(socket, asked) or b"")


async def port_open(host: str, port: int) -> bool:
    """Does somebody accept connections there?"""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(ANSWER_S):
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            return True
    return False


async def says_alive(socket: Path) -> Life:
    """What the loop of the role whose `--alive` socket this is says of itself."""
    return SAID.get(await heard(socket) or b"", Life.NONE)


async def http_speaks(host: str, port: int) -> bool:
    """Does an HTTP server there do anything about a request? Any answer will do, and so will the
    end of the connection: the kernel alone would only accept it."""
    asked = b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n"
    return await heard((host, port), asked, bytes_max=1) is not None


class Beats:
    """The heartbeats of all roles, read at most every half second however many ask."""

    def __init__(self, heartbeats: Heartbeats) -> None:
        self._heartbeats = heartbeats
        self._read_at = float("-inf")
        self._alive: list[Heartbeat] = []

    async def alive(self) -> list[Heartbeat]:
        """Empty while the store is away."""
        if time.monotonic() - self._read_at > BEATS_EVERY_S:
            self._read_at = time.monotonic()
            found: list[Heartbeat] = []
            try:
                found = await self._heartbeats.alive()
            except DependencyDown:
                pass
            finally:  # a caller that waits no longer leaves nothing old behind
                self._alive = found
        return self._alive

    async def seen(self, pid: int) -> bool:
        """Has the process `pid` written a heartbeat lately?"""
        return any(beat.pid == pid for beat in await self.alive())

    def of(self, role: str, instance: str) -> Asked:
        """`seen` for one process among all machines, on which pids may be equal."""

        async def seen(pid: int) -> bool:
            return await self._beat(role, instance, pid) != 0

        return seen

    def moving(self, role: str, instance: str) -> Asked:
        """Whether that process has written another heartbeat since it was asked for last."""
        last = 0

        async def moved(pid: int) -> bool:
            nonlocal last
            before, last = last, await self._beat(role, instance, pid)
            return last not in (0, before)

        return moved

    async def _beat(self, role: str, instance: str, pid: int) -> int:
        """The time of its newest beat, in ms of the store; 0: none."""
        for beat in await self.alive():
            if (beat.role, beat.instance, beat.pid) == (role, instance, pid):
                return beat.beat_ms
        return 0


def working(speaks: Asked) -> Callable[[int], Awaitable[Life]]:
    """A sign of life of a server that is not ours: it took processor time since the last look, or
    waits for its disk, or `speaks`. It is asked only when it looks dead: an answer may cost it a
    line of log, and one under load may be slow to give it."""
    spent = -1

    async def signs(pid: int) -> Life:
        nonlocal spent
        before, spent = spent, processor_ns(pid)
        lives = spent != before or state(pid) == UNINTERRUPTIBLE or await speaks(pid)
        return Life.ALIVE if lives else Life.NONE

    return signs


def processor_ns(pid: int) -> int:
    """Nanoseconds of processor time that the living threads of the process and of its descendants
    have taken. Looks at these alone: a machine may have thousands of others."""
    total = 0
    for thread in _listed(Path("/proc", str(pid), "task")):
        with contextlib.suppress(OSError, ValueError, IndexError):
            total += int((thread / "schedstat").read_bytes().split()[0])
        with contextlib.suppress(OSError, ValueError):
            children = (thread / "children").read_bytes().split()
            total += sum(processor_ns(int(child)) for child in children)
    return total


def state(pid: int) -> str:
    """The letter that Linux gives the state of the process; "" if there is none."""
    fields = stat_fields(pid)
    return fields[0] if fields else ""


def _listed(directory: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return list(directory.iterdir())
    return []
