"""Clock: the store's time, followed from this machine's steady clock, for every role.

This is the only place that reads the wall clock, and only until the store has answered once. A
store whose clock was set, by hand or by a failover, is not followed at once: see `StoreClock`.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import structlog

from miaosha.domain.errors import DependencyDown

REFRESH_S: Final = 1.0
ROUND_TRIP_MAX_S: Final = 0.5  # a slower answer says too little about the store's time
STEP_MAX_MS: Final = 5_000
BELIEVE_S: Final = 30.0

log = structlog.get_logger()


class _Step(NamedTuple):
    """The store's clock was set: how far from our steady clock (ms), since when (monotonic s)."""

    offset_ms: float
    since_s: float


class StoreClock:
    """Implements ports/clock.StepClock. Until the store has answered once, and soon enough, it is
    the machine's own clock. The first answer may set it back; later ones only make it stand still.

    A difference of more than `step_max_ms` is a step. Time goes on as it went before. If the store
    returns to it, the step is forgotten. If it stays for `believe_s`, it is believed, and then time
    may go back.

    Args:
        read_ms: asks the store for its clock (Unix ms), e.g. `StockStore.now_ms`.
        refresh_s: seconds between two questions.
        step_max_ms: what two clocks may differ by without one having been set.
        believe_s: seconds until a step is believed.
    """

    def __init__(
        self,
        read_ms: Callable[[], Awaitable[int]] | None = None,
        *,
        refresh_s: float = REFRESH_S,
        step_max_ms: int = STEP_MAX_MS,
        believe_s: float = BELIEVE_S,
    ) -> None:
        self._read_ms = read_ms
        self._refresh_s = refresh_s
        self._step_max_ms = step_max_ms
        self._believe_s = believe_s
        self._offset_ms = time.time() * 1000 - time.monotonic() * 1000
        self._synced = False
        self._step: _Step | None = None
        self._last_ms = 0
        self._task: asyncio.Task[None] | None = None

    def now_ms(self) -> int:
        now = int(time.monotonic() * 1000 + self._offset_ms)
        if now > self._last_ms:
            self._last_ms = now
        return self._last_ms

    def monotonic(self) -> float:
        return time.monotonic()

    def synced(self) -> bool:
        return self._synced

    def step_ms(self) -> int:
        return round(self._step.offset_ms - self._offset_ms) if self._step else 0

    async def refresh(self) -> bool:
        """Ask the store once; False if the answer was too slow to be used.

        Raises:
            DependencyDown: the store is away; the last offset stays.
        """
        assert self._read_ms is not None
        sent = time.monotonic()
        store_ms = await self._read_ms()
        received = time.monotonic()
        if received - sent > ROUND_TRIP_MAX_S:
            return False
        # The store cut its answer to whole ms: half a one is the best guess for the rest.
        self._weigh(store_ms + 0.5 - (sent + received) / 2 * 1000, received)
        return True

    def _weigh(self, offset_ms: float, at_s: float) -> None:
        """Follow the store, unless its clock was set just now."""
        if not self._synced:  # what was said before was a guess
            self._synced = True
            self._go_to(offset_ms)
        elif abs(offset_ms - self._offset_ms) <= self._step_max_ms:
            if self._step is not None:
                log.warning("clock_corrected", by_ms=-self.step_ms())
            self._step = None
            self._offset_ms = offset_ms
        elif self._step is None or abs(offset_ms - self._step.offset_ms) > self._step_max_ms:
            self._step = _Step(offset_ms, at_s)
            log.error("clock_stepped", by_ms=self.step_ms())
        elif at_s - self._step.since_s >= self._believe_s:
            log.error("clock_believed", by_ms=self.step_ms())
            self._go_to(offset_ms)

    def _go_to(self, offset_ms: float) -> None:
        self._offset_ms = offset_ms
        self._step = None
        self._last_ms = 0

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
