"""The clock of every role: the store's time, followed from this machine's steady clock.

The only place that reads the wall clock, and only until the store has answered once.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from miaosha.domain.errors import DependencyDown

REFRESH_S: Final = 1.0
ROUND_TRIP_MAX_S: Final = 0.5  # a slower answer says too little about the store's time

log = structlog.get_logger()


class StoreClock:
    """Implements ports/outside.Clock. Until the store has answered once it is the machine's own
    clock; the first answer may set it back, later ones only make it stand still.

    Args:
        read_ms: asks the store for its clock (Unix ms), e.g. `StockStore.now_ms`.
        refresh_s: seconds between two questions.
    """

    def __init__(
        self, read_ms: Callable[[], Awaitable[int]] | None = None, *, refresh_s: float = REFRESH_S
    ) -> None:
        self._read_ms = read_ms
        self._refresh_s = refresh_s
        self._offset_ms = time.time() * 1000 - time.monotonic() * 1000
        self._synced = False
        self._last_ms = 0
        self._task: asyncio.Task[None] | None = None

    def now_ms(self) -> int:
        now = int(time.monotonic() * 1000 + self._offset_ms)
        if now > self._last_ms:
            self._last_ms = now
        return self._last_ms

    def monotonic(self) -> float:
        return time.monotonic()

    async def refresh(self) -> bool:
        """Ask the store once; False if the answer was too slow to be used.

        Raises:
            DependencyDown: the store is away; the last offset stays.
        """
        assert self._read_ms is not None
        sent = time.monotonic()
        store_ms = await self._read_ms()
        received = time.monotonic()
        if received - sent > ROUND_TRIP_MAX_S and self._synced:
            return False
        # The store cut its answer to whole ms: half a one is the best guess for the rest.
        self._offset_ms = store_ms + 0.5 - (sent + received) / 2 * 1000
        if not self._synced:  # what was said before was a guess
            self._synced = True
            self._last_ms = 0
        return True

    async def start(self) -> None:
        """Ask once (an absent store is tolerated), then keep asking until `stop`."""
        with contextlib.suppress(DependencyDown, TimeoutError):
            async with asyncio.timeout(2 * self._refresh_s):
                await self.refresh()
        self._task = asyncio.create_task(self._follow(), name="store-clock")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None

    async def _follow(self) -> None:
        away = False
        while True:
            await asyncio.sleep(self._refresh_s)
            try:
                await self.refresh()
                away = False
            except Exception as error:  # whatever it is, the clock must go on asking
                if not away:
                    log.warning("clock_alone", error=f"{type(error).__name__}: {error}")
                away = True
