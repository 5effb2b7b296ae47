"""The public view of every sale, read from SQL and Redis at most once a second per process.

When SQL is away it is made from the board in Redis; when both are, from the last copy for a while.
Phases and times are computed per request, so that a second-old copy still opens on the second.
"""

import asyncio
from typing import Final

from miaosha.domain.errors import DependencyDown, Problem
from miaosha.domain.sale import Phase, Sale, SaleView, view
from miaosha.ports.outside import Clock
from miaosha.ports.people import Catalogue
from miaosha.ports.store import Heartbeats, StockStore

FRESH_S: Final = 1.0
STALE_MAX_S: Final = 30.0  # a copy is shown this long while nothing can be read
LISTED_MAX: Final = 50  # sales in the public list

_ORDER = {
    Phase.OPEN: 0,
    Phase.PAUSED: 0,
    Phase.FROZEN: 0,
    Phase.SCHEDULED: 1,
    Phase.CLOSED: 2,
    Phase.SETTLED: 2,
}


class Board:
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
        self._sales: dict[int, Sale] = {}
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
            sale = await self._catalogue.sale(sale_id)  # older than the newest 500, or brand new
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

    async def _read_sales(self) -> dict[int, Sale]:
        try:
            return {sale.id: sale for sale in await self._catalogue.sales()}
        except DependencyDown:
            board = await self._store.read_sales()
            if board is None:
                raise
            return board

    async def _read_store(self) -> tuple[set[int], dict[int, int]]:
        now = self._clock.now_ms()
        sold_out: set[int] = set()
        for sale in self._sales.values():
            if sale.phase_at(now) in (Phase.OPEN, Phase.PAUSED, Phase.FROZEN):
                reading = await self._store.reading(sale.id)
                if reading is not None and reading.genuine and reading.sold_out:
                    sold_out.add(sale.id)
        watching: dict[int, int] = {}
        for beat in await self._heartbeats.alive():
            for sale_id, sockets in beat.watching.items():
                watching[sale_id] = watching.get(sale_id, 0) + sockets
        return sold_out, watching
