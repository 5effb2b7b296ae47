"""Pictures: each is decoded and made anew by a process of its own (`picture_worker`)."""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from typing import Final

import msgspec
import structlog

from miaosha.domain.errors import DependencyDown, Overloaded, Problem

NO_PICTURE: Final = 3  # how the worker ends
TOO_LARGE: Final = 4
WAITING_MAX: Final = 8  # pictures, the one under way included
WAIT_S: Final = 20.0  # for those before it
WITHIN_S: Final = 15.0  # for one
MADE_BYTES_MAX: Final = 16_000_000  # of both widths together
KEPT_ENVIRONMENT: Final = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH")

log = structlog.get_logger()


class WorkerPictures:
    """Implements ports/pictures.Pictures: one picture at a time."""

    def __init__(self) -> None:
        self._permits = WAITING_MAX
        self._busy = asyncio.Lock()

    async def made(self, content: bytes) -> list[bytes]:
        """Raises DependencyDown, too: the worker could not be started, or was killed."""
        if self._permits <= 0:
            raise Overloaded("pictures_waiting_max")
        self._permits -= 1
        try:
            async with asyncio.timeout(WAIT_S):
                await self._busy.acquire()
            try:
                status, printed = await _worked(content)
            finally:
                self._busy.release()
        except TimeoutError:
            raise Overloaded("pictures_waiting_max") from None
        finally:
            self._permits += 1
        if status == TOO_LARGE:
            raise Problem("too_large", "A picture has at most 50 million pixels.")
        if status in (NO_PICTURE, -signal.SIGXCPU):
            raise Problem("unsupported_media_type", "A picture is a whole JPEG, PNG, WebP or HEIF.")
        if status:
            log.error("picture_worker_failed", status=status)
            raise DependencyDown("the pictures' worker")
        return msgspec.msgpack.decode(printed, type=list[bytes])


async def _worked(content: bytes) -> tuple[int | None, bytes]:
    """The worker's status, and what it printed. One that takes longer has no picture."""
    try:
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "miaosha.adapters.picture_worker"),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            env={name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ},
        )
    except OSError as error:
        raise DependencyDown(f"the pictures' worker: {error.strerror}") from error
    try:
        async with asyncio.timeout(WITHIN_S):
            _, printed = await asyncio.gather(_feed(worker, content), _read(worker))
            return await worker.wait(), printed
    except TimeoutError:
        return NO_PICTURE, b""
    finally:
        if worker.returncode is None:
            worker.kill()
            await worker.wait()


async def _feed(worker: Process, content: bytes) -> None:
    assert worker.stdin is not None
    with contextlib.suppress(ConnectionError):  # it has seen enough
        worker.stdin.write(content)
        await worker.stdin.drain()
    worker.stdin.close()


async def _read(worker: Process) -> bytes:
    """Raises DependencyDown: it prints more than any picture has."""
    assert worker.stdout is not None
    parts, left = [], MADE_BYTES_MAX
    while part := await worker.stdout.read(65_536):
        parts.append(part)
        left -= len(part)
        if left < 0:
            raise DependencyDown("the pictures' worker prints without end")
    return b"".join(parts)
