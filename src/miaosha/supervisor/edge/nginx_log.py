"""nginx log: keeps the edge's error log small.

nginx writes a line for every request whose role is away. A rush on a role that is down would fill
the disk that the ledger is on.
"""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from miaosha.supervisor.child_spec import Health
from miaosha.supervisor.children import Child
from miaosha.supervisor.watches import Alarm, beside

LOG_BYTES_MAX: Final = 16_000_000  # then the log becomes `….1`, and the last one of that name goes
LOOK_S: Final = 5.0


@contextlib.asynccontextmanager
async def kept_small(
    log: Path,
    nginx: Child,
    alarm: Alarm | None = None,
    *,
    bytes_max: int = LOG_BYTES_MAX,
    look_s: float = LOOK_S,
) -> AsyncIterator[None]:
    """While the body runs: start a new log whenever the old one has more than `bytes_max` bytes,
    as seen every `look_s` seconds. `alarm` rings if that breaks."""

    async def look() -> None:
        while True:
            # One that is just being started would take the signal for its end.
            if nginx.health is Health.READY and _put_aside(log, bytes_max):
                nginx.signal(signal.SIGUSR1)
            await asyncio.sleep(look_s)

    async with beside(look(), "watch of the edge's log", alarm):
        yield


def _put_aside(log: Path, bytes_max: int) -> bool:
    """Whether it was too large, and is another file now."""
    try:
        if log.stat().st_size <= bytes_max:
            return False
        log.replace(log.with_name(f"{log.name}.1"))
    except OSError:  # there is none, or the disk does not let us
        return False
    return True
