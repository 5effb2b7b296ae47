"""PublicSales: the public view of every sale, read at most once a second per process.

Live sales come from the board, and those that left it from SQL. While the board is missing or its
store is away, SQL gives the live sales too. While both are away, the last copy is shown for
STALE_MAX_S seconds.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Final

from miaosha.domain.errors import DependencyDown, Problem
from miaosha.domain.sale import Phase, Sale, SaleView
from miaosha.ports.catalogue import Catalogue
from miaosha.ports.clock import Clock
from miaosha.ports.heartbeats import Heartbeats, watchers
from miaosha.ports.store import StockStore
from miaosha.serving.board import Board

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
        self._board = Board(store, clock)
        self._heartbeats = heartbeats
        self._clock = clock
        self._lock = asyncio.Lock()
        self._tried_at = float("-inf")
        self._read_at = float("-inf")
        self._past: dict[int, Sale] = {}
        self._past_at = float("-inf")
        self._sales: Mapping[int, Sale] = {}
        self._watching: Counter[int] = Counter()

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
        return self._board.view(sale, self._watching[sale.id])

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
            await self._board.count(self._sales.values())
            self._watching = watchers(await self._heartbeats.alive())
        except DependencyDown:
            self._watching = Counter()
        self._tried_at = self._read_at = began

    async def _read_sales(self) -> Mapping[int, Sale]:
        """Raises DependencyDown if neither the board nor SQL can be read."""
        try:
            await self._board.refresh()
            lost = self._board.missing
        except DependencyDown:
            lost = True
        if lost:
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
