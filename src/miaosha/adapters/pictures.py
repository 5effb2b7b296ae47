"""Pictures: each is decoded and made anew by a process of its own (`picture_worker`)."""

import asyncio
import os
import sys
from typing import Final

import msgspec

from miaosha.domain.errors import Overloaded, Problem

NO_PICTURE: Final = 3  # how the worker ends; whatever else but 0 is a damaged picture, too
TOO_LARGE: Final = 4
WAITING_MAX: Final = 8  # pictures, the one under way included
WITHIN_S: Final = 30.0  # for one
KEPT_ENVIRONMENT: Final = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH")  # a decoder gets no secrets


class WorkerPictures:
    """Implements ports/pictures.Pictures: one picture at a time."""

    def __init__(self) -> None:
        self._permits = WAITING_MAX
        self._busy = asyncio.Lock()

    async def made(self, content: bytes) -> list[bytes]:
        if self._permits <= 0:
            raise Overloaded("pictures_waiting_max")
        self._permits -= 1
        try:
            async with self._busy:
                status, printed = await _worked(content)
        finally:
            self._permits += 1
        if status == TOO_LARGE:
            raise Problem("too_large", "A picture has at most 50 million pixels.")
        if status != 0:
            raise Problem("unsupported_media_type", "A picture is a whole JPEG, PNG, WebP or HEIF.")
        return msgspec.msgpack.decode(printed, type=list[bytes])


async def _worked(content: bytes) -> tuple[int | None, bytes]:
    """The worker's status, and what it printed."""
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "miaosha.adapters.picture_worker"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ},
    )
    try:
        async with asyncio.timeout(WITHIN_S):
            printed, _ = await worker.communicate(content)
    except TimeoutError:
        return None, b""
    finally:
        if worker.returncode is None:
            worker.kill()
            await worker.wait()
    return worker.returncode, printed
