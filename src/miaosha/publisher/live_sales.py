"""LiveSales: what a publisher judges presses by: the board of sales, readings, and full queues.

Nothing here is the truth. A reading older than `reading_max_age_ms` is not used: a press is then
queued, and Redis decides it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Final

import structlog

from miaosha.domain.errors import DependencyDown, MiaoshaError
from miaosha.domain.sale import Phase, Sale
from miaosha.ports.broker import Broker
from miaosha.ports.clock import Clock
from miaosha.ports.store import Reading, StockStore
from miaosha.publisher.sale_queue import SaleQueue
from miaosha.serving.board import Board
from miaosha.settings import Settings

log = structlog.get_logger()

BOARD_INTERVAL_S: Final = 1.0
BOARD_TIMEOUT_S: Final = 2.0
CHECKS_MAX_AGE_S: Final = 5.0
PRESSURE_MAX_AGE_S: Final = 5.0  # an older "full" is no longer believed
READ_AHEAD_MS: Final = 3_000  # readings start this long before a sale opens
FEW: Final = 16  # sales that take presses at once, below which all are asked for alike
QUIET_INTERVAL_S: Final = 1.0  # above: between readings of a sale that nobody presses for
NEVER_MS: Final = 1 << 62
PATH: Final = b"/api/v1/sales/%d/purchases"


class LiveSale:
    """A sale as this publisher sees it now.

    Attributes:
        open_from_ms, open_until_ms: presses are taken from the one until before the other
            (Unix ms, store clock); outside, `refusal` says why not.
        sold_out: the newest reading says so; to be used until `usable_until` (monotonic seconds).
        full: the sale's queue takes no more.
        read_at: when its counters were asked for last (monotonic seconds).
    """

    __slots__ = (
        "_full_until",
        "_reading",
        "closes_at_ms",
        "frozen",
        "full",
        "open_from_ms",
        "open_until_ms",
        "phase",
        "queue",
        "read_at",
        "sale",
        "sold_out",
        "usable_until",
    )

    def __init__(self, sale: Sale, queue: SaleQueue) -> None:
        self.queue = queue
        self.sale = sale
        self.usable_until = 0.0
        self.full = False
        self.read_at = float("-inf")
        self._reading: Reading | None = None
        self._full_until = 0.0
        self.see(0.0)

    @property
    def quiet(self) -> bool:
        """Nobody was accepted lately, and nobody is being refused by a reading."""
        return self.queue.quiet and not self.sold_out

    def see(self, monotonic: float) -> None:
        """Combine terms and reading; an aged reading and an aged `full` count no more."""
        sale = self.sale
        reading = self._reading if monotonic < self.usable_until else None
        self.full = self.full and monotonic < self._full_until
        self.sold_out = reading is not None and reading.sold_out
        self.closes_at_ms = sale.closes_at_ms
        self.phase = sale.phase
        self.frozen = sale.frozen is not None
        if reading is not None:
            # The earlier close wins: decide refuses by Redis's, and an admin's comes by SQL first.
            self.closes_at_ms = min(sale.closes_at_ms, reading.closes_at_ms)
            self.frozen = self.frozen or reading.phase == Phase.FROZEN
            if reading.phase == Phase.PAUSED and sale.phase is Phase.SCHEDULED:
                self.phase = Phase.PAUSED
        takes = self.phase is Phase.SCHEDULED and not self.frozen
        self.open_from_ms = sale.opens_at_ms if takes else NEVER_MS
        self.open_until_ms = self.closes_at_ms

    def refusal(self, now_ms: int) -> str:
        """The code for a press outside of the open time, in the order of `Sale.phase_at`."""
        if self.phase is Phase.SETTLED:
            return "closed"
        if self.frozen:
            return "frozen"
        if now_ms >= self.closes_at_ms:
            return "closed"
        return "paused" if self.phase is Phase.PAUSED else "not_open"

    def read(self, reading: Reading | None, usable_until: float) -> None:
        """Take a reading; one that is not usable says nothing."""
        self._reading = reading if reading is not None and reading.usable else None
        self.usable_until = usable_until

    def press(self, full: bool, monotonic: float) -> None:
        """Take whether the sale's queue is full."""
        self.full = full
        self._full_until = monotonic + PRESSURE_MAX_AGE_S


class LiveSales:
    """All live sales by the path of their purchases, refreshed by `run`.

    Attributes:
        by_path: `/api/v1/sales/7/purchases` → that sale.
        checks: "ok" or what is wrong, by dependency, as of the latest round.
    """

    def __init__(
        self,
        store: StockStore,
        broker: Broker,
        clock: Clock,
        settings: Settings,
        counters: MutableMapping[str, float],
    ) -> None:
        self._board = Board(store, clock)
        self._store = store
        self._broker = broker
        self._clock = clock
        self._counters = counters
        self._interval_s = settings.reading_interval_ms / 1000
        self._max_age_s = settings.reading_max_age_ms / 1000
        self._keep_s = 2 * settings.repeat_window_ms / 1000
        self._shown: Mapping[int, Sale] = {}  # the board's sales that are here
        self._by_id: dict[int, LiveSale] = {}
        self.by_path: dict[bytes, LiveSale] = {}
        self.checks = {"store": "unread", "broker": "unread", "board": "unread"}
        self._checked_at = 0.0

    @property
    def known(self) -> bool:
        """A board has been read since the start."""
        return self._board.read_at_s is not None

    async def run(self) -> None:
        """Refresh everything in its rhythm until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._every(self._board_interval, self.refresh))
            group.create_task(self._every(lambda: self._interval_s, self.read))

    async def refresh(self) -> None:
        """Read the board, and how full the queues are."""
        try:
            async with asyncio.timeout(BOARD_TIMEOUT_S):
                await self._board.refresh()
        except (MiaoshaError, TimeoutError) as error:
            self.checks["store"] = type(error).__name__
        else:
            self.checks["store"] = "ok"
            self._take(self._board.sales)
            self.checks["board"] = "ok" if self.known else "missing"
        await self._measure()
        self._checked_at = self._clock.monotonic()

    def _take(self, sales: Mapping[int, Sale]) -> None:
        if sales is not self._shown:
            self._shown = sales
            shown = {id_: sale for id_, sale in sales.items() if sale.phase is not Phase.DRAFT}
            self._by_id = {id_: self._live(sale) for id_, sale in shown.items()}
            self.by_path = {PATH % id_: live for id_, live in self._by_id.items()}
        self._see()

    async def read(self) -> None:
        """Read the counters of the sales that are open or about to open; of many, those that nobody
        presses for less often."""
        due = self._due()
        usable_until = self._clock.monotonic() + self._max_age_s  # counted from before the call
        try:
            ids = [live.sale.id for live in due]
            readings = await self._store.readings(ids, self._max_age_s)
        except MiaoshaError:
            readings = {}
        self._counters["readings_failed"] += len(due) - len(readings)
        for live in due:
            if live.sale.id in readings:
                live.read(readings[live.sale.id], usable_until)
        self._see()

    def _due(self) -> list[LiveSale]:
        monotonic = self._clock.monotonic()
        due = self._taking()
        if len(due) > FEW:
            seldom = monotonic - QUIET_INTERVAL_S
            due = [live for live in due if not live.quiet or live.read_at <= seldom]
        for live in due:
            live.read_at = monotonic
        return due

    def _taking(self) -> list[LiveSale]:
        """The sales that are open or about to open."""
        now_ms = self._clock.now_ms()
        return [live for live in self._by_id.values() if _wants_readings(live.sale, now_ms)]

    async def ready(self) -> None:
        """Raises DependencyDown naming what is not ready."""
        wrong = [f"{name}: {state}" for name, state in self.report().items() if state != "ok"]
        if wrong:
            raise DependencyDown(", ".join(wrong))

    def report(self) -> dict[str, str]:
        """Every dependency as of the latest round, which must not be long ago."""
        if self._clock.monotonic() - self._checked_at > CHECKS_MAX_AGE_S:
            return {**self.checks, "cache": "stale"}
        return dict(self.checks)

    async def _measure(self) -> None:
        """Ping the broker and ask which queues are full; of many, only those pressed for."""
        taking = self._taking()
        wanted = [live.sale.id for live in taking if len(taking) <= FEW or not live.queue.quiet]
        try:
            async with asyncio.timeout(BOARD_TIMEOUT_S):
                await self._broker.ping()
                full = await self._broker.full(wanted)
                for id_ in wanted:
                    self._by_id[id_].press(id_ in full, self._clock.monotonic())
        except (MiaoshaError, TimeoutError) as error:
            self.checks["broker"] = type(error).__name__
        else:
            self.checks["broker"] = "ok"

    def _live(self, sale: Sale) -> LiveSale:
        live = self._by_id.get(sale.id)
        if live is None:
            return LiveSale(sale, SaleQueue(sale.id))
        live.sale = sale
        return live

    def _see(self) -> None:
        monotonic = self._clock.monotonic()
        for live in self._by_id.values():
            live.see(monotonic)
            live.queue.forget(monotonic, self._keep_s)

    def _board_interval(self) -> float:
        lost = self._board.missing or not self.known
        return self._interval_s if lost else BOARD_INTERVAL_S

    async def _every(
        self, interval_s: Callable[[], float], work: Callable[[], Awaitable[None]]
    ) -> None:
        while True:
            try:
                await work()
            except Exception:  # a defect here must not leave an old copy in use for ever
                self._counters["refresh_errors"] += 1
                log.exception("refresh")
            await asyncio.sleep(interval_s())


def _wants_readings(sale: Sale, now_ms: int) -> bool:
    stored = sale.phase in (Phase.SCHEDULED, Phase.PAUSED)
    return stored and sale.opens_at_ms - READ_AHEAD_MS <= now_ms < sale.closes_at_ms
