"""Run directory: holds sockets, nginx's configuration and the switch while the platform runs.

It lies in the directory that systemd has made for the unit (RUNTIME_DIRECTORY), else among the
temporary files, where cleaners remove what looks old. So it is locked, which systemd-tmpfiles
respects. What lies in it is touched now and then, for cleaners that look at ages alone. Without it
nobody reaches any role: once it is gone, the platform ends.
"""

import asyncio
import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from miaosha.supervisor.watches import Alarm

PLACE_BYTES_MAX: Final = 59  # above a directory of sockets: with its name and ours they have 108
PREFIX: Final = "miaosha-"
LOOK_S: Final = 2.0
TOUCH_S: Final = 3_600.0  # cleaners count in days


@contextlib.contextmanager
def run_directory(prefix: str = PREFIX) -> Iterator[Path]:
    """A new private directory, locked; removed at the end."""
    given = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    run = Path(tempfile.mkdtemp(prefix=prefix, dir=socket_place(given)))
    try:
        with kept_from_cleaners(run):
            yield run
    finally:
        shutil.rmtree(run, ignore_errors=True)


@contextlib.contextmanager
def kept_from_cleaners(directory: Path) -> Iterator[None]:
    """Lock it as systemd-tmpfiles respects it; where that cannot be, do without."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def socket_place(given: str = "") -> str:
    """Where a directory of unix sockets is made: `given`, else the place of temporary files, unless
    its path is too long for what lies in it."""
    for place in (given, tempfile.gettempdir()):
        usable = os.path.isdir(place) and os.access(place, os.W_OK | os.X_OK)  # noqa: PTH112
        if usable and len(os.fsencode(place)) <= PLACE_BYTES_MAX:
            return place
    return "/tmp"  # noqa: S108 - mkdtemp makes a private directory in it


async def held(
    run: Path,
    alarm: Alarm,
    written: Callable[[], None] = lambda: None,
    *,
    look_s: float = LOOK_S,
    touch_s: float = TOUCH_S,
) -> None:
    """Until cancelled: keep `run` from looking old, and ring when it is gone.

    Args:
        written: called at each look, in a thread, to write again what others find the platform
            by. It may raise OSError: a full disk is tried again.
    """
    loop = asyncio.get_running_loop()
    made, touch_at = _identity(run), loop.time()
    while True:
        if made is None or await asyncio.to_thread(_identity, run) != made:
            alarm.ring(f"run directory {run} is gone: somebody removed it, and no role is reached")
            return
        if loop.time() >= touch_at:
            touch_at = loop.time() + touch_s
            await asyncio.to_thread(touch, run)
        with contextlib.suppress(OSError):
            await asyncio.to_thread(written)
        await asyncio.sleep(look_s)


def touch(run: Path) -> None:
    """Make it and what lies in it look new; what cannot be touched stays as it is."""
    with contextlib.suppress(OSError):
        for path in (run, *run.iterdir()):
            with contextlib.suppress(OSError):
                os.utime(path, follow_symlinks=False)


def _identity(run: Path) -> tuple[int, int] | None:
    try:
        found = run.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
