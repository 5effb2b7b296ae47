"""Outlet: a text stream that neither fails nor blocks the caller, for stdout and stderr.

A thread of its own writes. A full disk, a closed pipe and a pipe that nobody reads are the trouble
of this thread alone. Text that cannot be written is dropped, counted, and mentioned in front of the
next text that can.
"""

import atexit
import contextlib
import io
import os
import select
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

WAITING_BYTES_MAX: Final = 1_000_000  # of text that waits for the thread; more is dropped
LEAVE_S: Final = 1.0  # the last words of a process have this long
BACKSLASH: Final = "backslashreplace"
RAISING: Final = (None, "strict", "surrogateescape")  # error handlers that may
STANDARD: Final = {1: "stdout", 2: "stderr"}


def plain_notice(lines: int) -> str:
    """What an outlet says of lines that it lost."""
    return f"({lines:,} lines were lost here: nobody could take them)\n"


class Outlet(io.TextIOBase):
    """A line-buffered stream onto an open descriptor, which stays the caller's.

    Args:
        encoding: of the written bytes.
        errors: the error handler for a character that it lacks; not one that raises.
        waiting_bytes_max: bytes that wait at most.

    Attributes:
        lost: lines that could not be written so far.
        notice: makes the text that mentions lost lines.
    """

    def __init__(
        self,
        descriptor: int,
        encoding: str = "utf-8",
        errors: str = BACKSLASH,
        *,
        waiting_bytes_max: int = WAITING_BYTES_MAX,
    ) -> None:
        self.lost = 0
        self.notice: Callable[[int], str] = plain_notice
        self._descriptor = descriptor
        self._encoding, self._errors = encoding, errors
        self._most = waiting_bytes_max
        self._gathered: list[str] = []  # a line that has not ended yet
        self._gathered_length = 0
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._writing = False
        self._unmentioned = 0
        self._torn = False  # the last line was written in part
        self._last = False  # the process ends, and the thread with it
        self._changed = threading.Condition()  # reentrant: a signal handler may write, too
        self._thread: threading.Thread | None = None

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        """Take `text`; the thread gets it with the end of its line, or with `flush`."""
        with contextlib.suppress(Exception), self._changed:
            self._gathered.append(text)
            self._gathered_length += len(text)
            if text.endswith("\n") or self._gathered_length > self._most:
                self._hand_over()
        return len(text)

    def flush(self) -> None:
        """Hand over a line that has not ended. Waits for nothing."""
        with contextlib.suppress(Exception), self._changed:
            self._hand_over()

    def drain(self, within_s: float = LEAVE_S) -> bool:
        """Wait until everything has been tried, `within_s` seconds at most; whether it has."""
        self.flush()
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._writing, within_s)

    def leave(self) -> None:
        """Drain; what is said from now on, at the very end of the process, is written at once if
        somebody takes it at once."""
        self._last = self.drain()

    def _hand_over(self) -> None:
        piece = "".join(self._gathered).encode(self._encoding, self._errors)
        self._gathered.clear()
        self._gathered_length = 0
        if not piece:
            return
        if self._last:
            self._put_now(piece)
            return
        if self._waiting_bytes + len(piece) > self._most:
            self._lose(piece)
            return
        self._waiting.append(piece)
        self._waiting_bytes += len(piece)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="outlet", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _put_now(self, piece: bytes) -> None:
        left = memoryview(piece)
        with contextlib.suppress(OSError):
            poll = select.poll()
            poll.register(self._descriptor, select.POLLOUT)
            while left and poll.poll(0):  # a pipe that is ready takes so much without waiting
                left = left[os.write(self._descriptor, left[: select.PIPE_BUF]) :]

    def _lose(self, piece: bytes) -> None:
        lines = piece.count(b"\n") or 1
        self.lost += lines
        self._unmentioned += lines

    def _run(self) -> None:
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: bool(self._waiting))
                piece = self._waiting.popleft()
                self._waiting_bytes -= len(piece)
                self._writing = True
            try:
                self._mention()
                self._put(piece)
            except Exception:  # whatever it is, the next piece has its chance
                with self._changed:
                    self._lose(piece)

    def _mention(self) -> None:
        """Raises OSError when nothing can be written now, either."""
        if lines := self._unmentioned:
            self._put(self.notice(lines).encode(self._encoding, self._errors))
            with self._changed:
                self._unmentioned -= lines

    def _put(self, piece: bytes) -> None:
        """One write for one line, so that processes that share a pipe do not mix theirs."""
        left = memoryview(b"\n" + piece if self._torn else piece)
        while left:
            try:
                written = os.write(self._descriptor, left)
            except BlockingIOError:  # somebody who shares it has made it non-blocking
                poll = select.poll()
                poll.register(self._descriptor, select.POLLOUT)
                poll.poll()
                continue
            left = left[written:]
            self._torn = bool(left)


def install() -> tuple[Outlet, Outlet]:
    """Let `sys.stdout` and `sys.stderr` be outlets for the rest of this process; returns both. If
    they lead to the same place they are one outlet, so that lines keep their order.

    What goes round them still blocks: descriptors 1 and 2 themselves, and so what a library in C
    or a child writes there.
    """
    _open_standard()
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # a terminal may stop whoever writes unasked
    out, err = _outlet(1), _outlet(2)
    if os.path.sameopenfile(1, 2):
        out = err
    sys.stdout, sys.stderr = out, err
    for outlet in {out, err}:
        atexit.register(outlet.leave)
    return out, err


def _open_standard() -> None:
    """A closed descriptor would be given to the next file that is opened, and what is said would
    be written into that file."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            os.set_inheritable(descriptor, True)


def _outlet(descriptor: int) -> Outlet:
    stream = getattr(sys, STANDARD[descriptor])
    with contextlib.suppress(Exception):
        stream.flush()
    errors = getattr(stream, "errors", None)
    return Outlet(
        descriptor,
        getattr(stream, "encoding", None) or "utf-8",
        BACKSLASH if errors in RAISING else errors,
    )
