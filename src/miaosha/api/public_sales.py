"""The public view of every sale: from the board in Redis, asked at most once a second per process,
and of those that left it from SQL.

While there is no board, or Redis is away, SQL is asked for the live sales too; when both are away,
the last copy is shown for a while. Phases and times are computed per request, so that a second-old
copy still opens on the second.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from miaosha.domain.errors import DependencyDown, Problem
from miaosha.domain.sale import Phase, Sale, SaleView, view
from miaosha.ports.catalogue import Catalogue
from miaosha.ports.clock import Clock
from miaosha.ports.heartbeats import Heartbeats
from miaosha.ports.store import SaleBoard, StockStore

FRESH_S: Final = 1.0
PAST_S: Final = 10.0  # the list of what is over may be this old
STALE_MAX_S: Final = 30.0  # a copy is shown this long while nothing can be read
LISTED_MAX: Final = 200  # sales in the public list
PAST_MAX: Final = 50  # of them settled

_ORDER = {
    Phase.OPEN: 0,
    Phase.PAUSED: 0,
    Phase.FROZEN: 0,
    Phase.SCHEDULED: 1,
    Phase.CLOSED: 2,
    Phase.SETTLED: 2,
}


class PublicSales:
    def __init__(
        self, catalogue: Catalogue, store: StockStore, heartbeats: Heartbeats, clock: Clock
    ) -> None:
        self._catalogue = catalogue
        self._store = store
        self._heartbeats = heartbeats
        self._clock = clock
        self._lock = asyncio.Lock()
        self._tried_at = float("-inf")
        self._read_at = float("-inf")
        self._board: SaleBoard | None = None
        self._past: dict[int, Sale] = {}
        self._past_at = float("-inf")
        self._sales: Mapping[int, Sale] = {}
        self._sold_out: set[int] = set()
        self._watching: dict[int, int] = {}

    async def list(self) -> list[SaleView]:
        """Running sales, then those to come, the next first, then those that are over, newest
        first; at most LISTED_MAX. Raises DependencyDown."""
        await self._refresh()
        now = self._clock.now_ms()

        def rank(sale: Sale) -> tuple[int, int]:
            group = _ORDER[sale.phase_at(now)]
            return group, (sale.closes_at_ms, sale.opens_at_ms, -sale.closes_at_ms)[group]

        return [self._view(sale) for sale in sorted(self._sales.values(), key=rank)[:LISTED_MAX]]

    async def view(self, sale_id: int) -> SaleView:
        """Raises Problem("not_found"), DependencyDown."""
        return self._view(await self.sale(sale_id))

    async def sale(self, sale_id: int) -> Sale:
        """The terms of a sale anyone may see, at most a second old.

        Raises:
            Problem: not_found (unknown, or a draft).
            DependencyDown: neither SQL nor Redis answers.
        """
        await self._refresh()
        sale = self._sales.get(sale_id)
        if sale is None:
            sale = await self._catalogue.sale(sale_id)  # over for long, or brand new
        if sale is None or sale.phase is Phase.DRAFT:
            raise Problem("not_found")
        return sale

    def _view(self, sale: Sale) -> SaleView:
        now = self._clock.now_ms()
        over = sale.phase_at(now) in (Phase.CLOSED, Phase.SETTLED)
        available = not over and sale.id not in self._sold_out
        return view(sale, now, available=available, watching=self._watching.get(sale.id, 0))

    async def _refresh(self) -> None:
        if self._fresh():
            return
        async with self._lock:
            if not self._fresh():  # nobody read it while we waited
                await self._read()

    def _fresh(self) -> bool:
        return self._clock.monotonic() - self._tried_at < FRESH_S

    async def _read(self) -> None:
        began = self._clock.monotonic()
        try:
            self._sales = await self._read_sales()
        except DependencyDown:
            if began - self._read_at > STALE_MAX_S:
                raise
            self._tried_at = began
            return
        try:
            self._sold_out, self._watching = await self._read_store()
        except DependencyDown:
            self._watching = {}
        self._tried_at = self._read_at = began

    async def _read_sales(self) -> Mapping[int, Sale]:
        """Raises DependencyDown if neither the board nor SQL can be read."""
        try:
            self._board = await self._store.read_sales(self._board)
        except DependencyDown:
            self._board = None
        if self._board is None:
            live = {sale.id: sale for sale in await self._catalogue.live()}
            return {**await self._read_past(), **live}
        try:
            past = await self._read_past()
        except DependencyDown:
            past = self._past
        return {**past, **self._board.sales}

    async def _read_past(self) -> dict[int, Sale]:
        now = self._clock.monotonic()
        if now - self._past_at > PAST_S:
            self._past = {sale.id: sale for sale in await self._catalogue.settled(PAST_MAX)}
            self._past_at = now
        return self._past

    async def _read_store(self) -> tuple[set[int], dict[int, int]]:
        now, running = self._clock.now_ms(), (Phase.OPEN, Phase.PAUSED, Phase.FROZEN)
        wanted = [id_ for id_, sale in self._sales.items() if sale.phase_at(now) in running]
        readings = await self._store.readings(wanted)
        sold_out = {
            id_
            for id_, reading in readings.items()
            if reading and reading.genuine and reading.sold_out
        }
        watching: dict[int, int] = {}
        for beat in await self._heartbeats.alive():
            for sale_id, sockets in beat.watching.items():
                watching[sale_id] = watching.get(sale_id, 0) + sockets
        return sold_out, watching
