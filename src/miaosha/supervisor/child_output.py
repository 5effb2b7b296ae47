"""Child output: what a child says, passed on while it runs, and its last lines when it has died."""

import asyncio
import contextlib
import os
import sys
from collections import deque
from pathlib import Path
from typing import Final

from miaosha.domain.visible import visible_lines

TAIL_LINES: Final = 5
TAIL_BYTES: Final = 4_096


class ChildOutput(asyncio.Protocol):
    """Passes the stderr of a program that is not ours on to `sys.stderr`. Without a reader the
    program would wait for ever in front of its pipe."""

    def __init__(self) -> None:
        self._tail: deque[bytes] = deque(maxlen=TAIL_LINES)
        self._transport: asyncio.BaseTransport | None = None

    async def open(self) -> int:
        """A descriptor for the program to write to; the caller closes it. Raises OSError."""
        ours, theirs = os.pipe()
        reading = os.fdopen(ours, "rb")
        try:
            loop = asyncio.get_running_loop()
            self._transport, _ = await loop.connect_read_pipe(lambda: self, reading)
        except BaseException:
            reading.close()
            os.close(theirs)
            raise
        return theirs

    def data_received(self, data: bytes) -> None:
        self._tail.extend(data[-TAIL_BYTES:].splitlines())
        with contextlib.suppress(Exception):
            sys.stderr.write(visible_lines(data.decode(errors="replace")))
            sys.stderr.flush()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def last(self) -> str:
        """Its last lines, indented, or nothing."""
        return indented(list(self._tail))


def died(code: int) -> str:
    """An exit code as a person says it."""
    return f"was killed by signal {-code}" if code < 0 else f"exited with {code}"


def last_of(log: Path) -> str:
    """The last lines of a log file, indented, or nothing."""
    with contextlib.suppress(OSError), log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
        return indented(file.read(TAIL_BYTES).splitlines())
    return ""


def indented(lines: list[bytes]) -> str:
    return "".join(f"\n     {line.decode(errors='replace')}" for line in lines[-TAIL_LINES:])
