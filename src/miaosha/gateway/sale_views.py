"""Sales: what this gateway shows of them, what its watchers were told, and who watches elsewhere.

The board of sales is read each second. A message of the bus may tell of a change earlier.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from miaosha.domain.errors import DependencyDown, Problem
from miaosha.domain.sale import Phase, Sale, SaleView
from miaosha.ports.clock import Clock
from miaosha.ports.heartbeats import Heartbeats, watchers
from miaosha.ports.store import StockStore
from miaosha.serving.board import Board

FRESH_S: Final = 10.0  # age of the copy above which the process is not ready


class Sales:
    """Args:
    counted: sockets of this process that watch a sale.
    instance: this gateway's name, to leave its own heartbeat out of the sum.
    """

    def __init__(
        self,
        store: StockStore,
        heartbeats: Heartbeats,
        clock: Clock,
        counted: Callable[[int], int],
        instance: str,
    ) -> None:
        self._board = Board(store, clock)
        self._heartbeats = heartbeats
        self._clock = clock
        self._counted = counted
        self._instance = instance
        self._learnt: dict[int, Sale] = {}  # what the bus told since the board was read
        self._elsewhere: Counter[int] = Counter()
        self._told: dict[int, SaleView] = {}  # what the watchers of a sale know

    async def refresh(self, watched: Iterable[int]) -> None:
        """Read the board, and the counters of every running sale that is watched.

        Raises:
            DependencyDown: the store is away; the old copy stays.
        """
        await self._board.refresh()
        self._learnt.clear()
        sales = map(self.sale, watched)
        await self._board.count(sale for sale in sales if sale is not None)
        beats = await self._heartbeats.alive()
        self._elsewhere = watchers(beat for beat in beats if beat.instance != self._instance)

    async def check(self) -> None:
        """Raises DependencyDown unless the board was read lately."""
        read_at_s = self._board.read_at_s
        if read_at_s is None or self._clock.monotonic() - read_at_s > FRESH_S:
            raise DependencyDown("the board of sales has not been read lately")

    def sale(self, sale_id: int) -> Sale | None:
        """None for one that is unknown. A draft is unknown to clients, whatever a board holds."""
        sale = self._learnt.get(sale_id) or self._board.sales.get(sale_id)
        return None if sale is None or sale.phase is Phase.DRAFT else sale

    def asked(self, sale_id: int) -> Sale:
        """The sale a client asks for. Raises Problem: not_found, or unavailable as long as the
        board has never been read."""
        sale = self.sale(sale_id)
        if sale is None and self._board.read_at_s is None:
            raise Problem("unavailable")
        if sale is None:
            raise Problem("not_found")
        return sale

    def phase(self, sale: Sale) -> Phase:
        return sale.phase_at(self._clock.now_ms())

    def view(self, sale: Sale) -> SaleView:
        """The sale as anyone may see it now."""
        return self._board.view(sale, self._counted(sale.id) + self._elsewhere[sale.id])

    def tell(self, sale: Sale) -> SaleView:
        """The view to send, noted as what the watchers know."""
        shown = self.view(sale)
        self._told[sale.id] = _lasting(shown)
        return shown

    def note(self, shown: SaleView) -> None:
        """A first watcher was shown this; later ones do not change what the others know."""
        if shown.id not in self._told:
            self._told[shown.id] = _lasting(shown)

    def news(self, watched: Iterable[int]) -> list[int]:
        """The watched sales whose view is another than their watchers know."""
        known = {sale_id: self._told[sale_id] for sale_id in watched if sale_id in self._told}
        self._told = known
        return [sale_id for sale_id in known if self.is_news(sale_id)]

    def is_news(self, sale_id: int) -> bool:
        """Whether the view of this sale is another than its watchers know."""
        sale = self.sale(sale_id)
        return sale is not None and _lasting(self.view(sale)) != self._told.get(sale_id)

    def next_change_s(self, watched: Iterable[int]) -> float | None:
        """Seconds until the clock opens or closes a watched sale; None if it does not."""
        now_ms = self._clock.now_ms()
        times = [
            at_ms - now_ms
            for sale in map(self.sale, watched)
            if sale is not None
            for at_ms in (sale.opens_at_ms, sale.closes_at_ms)
            if at_ms > now_ms
        ]
        return min(times) / 1000 if times else None

    def learn(self, shown: SaleView) -> None:
        """A SaleChanged from the bus: what it says holds until the board is read again."""
        sale = self._learnt.get(shown.id) or self._board.sales.get(shown.id)
        if sale is None:
            return
        stored = shown.phase
        if stored not in (Phase.DRAFT, Phase.PAUSED, Phase.SETTLED):
            stored = Phase.SCHEDULED
        frozen = (sale.frozen or "changed") if shown.phase is Phase.FROZEN else None
        self._learnt[shown.id] = msgspec.structs.replace(
            sale,
            phase=stored,
            frozen=frozen,
            settled_at_ms=shown.server_time_ms if stored is Phase.SETTLED else None,
            title=shown.title,
            mode=shown.mode,
            product=shown.product,
            price=shown.price,
            stock=shown.stock,
            opens_at_ms=shown.opens_at_ms,
            closes_at_ms=shown.closes_at_ms,
            pay_within_s=shown.pay_within_s,
        )


def _lasting(shown: SaleView) -> SaleView:
    """Without what changes all the time."""
    return msgspec.structs.replace(shown, server_time_ms=0, watching=0)
