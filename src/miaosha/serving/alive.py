"""Alive: shows that a process's loop turns, to the supervisor, to systemd, and to itself.

The supervisor asks over a unix socket of the process's own. So neither a store that is away nor a
crowd at the public listener stands between. Where nobody supervises it (a container), a thread
watches the loop and ends a process that hangs, so that it is started again.
"""

import asyncio
import contextlib
import contextvars
import os
import socket
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final, cast

import structlog

WORD: Final = b"alive\n"
STARTING: Final = b"starting\n"
TICK_S: Final = 1.0
LOOKS: Final = 15  # of the thread within the silence that it allows
STACK_LINES_MAX: Final = 40
HUNG: Final = 75  # the exit status
STARTS_WITHIN: Final = 8  # silences, of a role that starts

log = structlog.get_logger()


def _always() -> bool:
    return True


class _Word(asyncio.Protocol):
    """Says its word to whoever connects, and hangs up: there is nothing to read."""

    def __init__(self, begun: Callable[[], bool]) -> None:
        self._begun = begun

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        writing = cast("asyncio.WriteTransport", transport)
        writing.write(WORD if self._begun() else STARTING)
        writing.close()


@contextlib.asynccontextmanager
async def answering(path: str, begun: Callable[[], bool] = _always) -> AsyncIterator[None]:
    """While the body runs, the loop answers everybody who connects to the unix socket `path` (none
    if empty), and systemd's watchdog where there is one. A socket that cannot be made is told: the
    role works without.

    Args:
        begun: whether the role works; until then it starts, and is given more time.
    """
    feeding = asyncio.create_task(feed_watchdog(), name="watchdog")
    server = None
    if path:
        try:
            _remove(path)
            loop = asyncio.get_running_loop()
            server = await loop.create_unix_server(lambda: _Word(begun), path)
        except OSError as error:
            log.warning("no_alive_socket", error=str(error))
    try:
        yield
    finally:
        feeding.cancel()
        await asyncio.wait({feeding})
        if server is not None:
            server.close()
            _remove(path)


def _remove(path: str) -> None:
    Path(path).unlink(missing_ok=True)


class LoopWatch:
    """A thread that notices when the loop stands still, and tells where.

    Args:
        silence_s: seconds of standing still that are too many; 0: never.
        hung: called then, in the thread, with the stack of the loop's thread.
        begun: whether the role works. One that starts imports much, on its loop, and has
            STARTS_WITHIN times as long.
    """

    def __init__(
        self,
        silence_s: float,
        hung: Callable[[str], None],
        begun: Callable[[], bool] = _always,
    ) -> None:
        self._silence_s = silence_s
        self._hung = hung
        self._begun = begun
        self._turned = 0
        self._ended = threading.Event()

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Watch the running loop, from its thread, while the body runs."""
        if not self._silence_s:
            yield
            return
        turning = asyncio.create_task(self._turn(), name="loop watch")
        here = contextvars.copy_context()  # the names that its log lines carry
        looking = (self._look, threading.get_ident())
        thread = threading.Thread(target=here.run, args=looking, name="loop-watch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            turning.cancel()
            await asyncio.wait({turning})

    async def _turn(self) -> None:
        while True:
            self._turned += 1
            await asyncio.sleep(min(TICK_S, self._silence_s / LOOKS))

    def _look(self, loop_thread: int) -> None:
        """Time in which this thread was away as well, as on a machine that slept, counts as one
        look: the silence is counted in looks."""
        look_s = self._silence_s / LOOKS
        seen, silent = -1, 0
        while not self._ended.wait(look_s):
            silent = 0 if self._turned != seen else silent + 1
            seen = self._turned
            if silent == (LOOKS if self._begun() else LOOKS * STARTS_WITHIN):
                self._hung(_stack(loop_thread))


def _stack(thread: int) -> str:
    frame = sys._current_frames().get(thread)
    lines = traceback.format_stack(frame) if frame is not None else []
    return "".join(lines[-STACK_LINES_MAX:])


def notify(state: str) -> None:
    """Tell systemd `state`, such as READY=1 or WATCHDOG=1, where it listens (NOTIFY_SOCKET). It is
    only told: nothing depends on it."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as talking,
    ):
        talking.setblocking(False)
        talking.sendto(state.encode(), "\0" + address[1:] if address[0] == "@" else address)


def watchdog_s() -> float:
    """Seconds between two WATCHDOG=1 that systemd expects of this process, halved; 0: none."""
    for_us = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    text = os.environ.get("WATCHDOG_USEC", "")
    return int(text) / 2_000_000 if for_us and text.isdigit() else 0.0


async def feed_watchdog() -> None:
    """Until cancelled, tell systemd that the loop turns, as often as it wants to hear it."""
    every_s = watchdog_s()
    while every_s:
        notify("WATCHDOG=1")
        await asyncio.sleep(every_s)
