"""Board: a process's own copy of the board of sales, with the counters of the sales that run.

The copy is not the truth. A store that is away leaves the last copy standing. A board that is
missing (the store lost it, and a rebuild will write it) makes every sale of the copy read frozen.
Phases come from the clock at the moment of asking: a second-old copy still opens on the second.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from miaosha.domain.sale import Phase, Sale, SaleView, view
from miaosha.ports.clock import Clock
from miaosha.ports.store import Reading, SaleBoard, StockStore

RUNNING: Final = frozenset({Phase.OPEN, Phase.PAUSED, Phase.FROZEN})
MISSING: Final = "the board is missing"  # why a sale of the copy is frozen then


class Board:
    """What the process read last.

    Attributes:
        sales: by id, as the board has them.
        missing: the store answered that it has no board.
        read_at_s: when a board was read last (monotonic seconds); None: never.
    """

    def __init__(self, store: StockStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._read: SaleBoard | None = None
        self._readings: dict[int, Reading] = {}
        self.sales: Mapping[int, Sale] = {}
        self.missing = False
        self.read_at_s: float | None = None

    async def refresh(self) -> None:
        """Read the board. Raises DependencyDown: the store is away, and the old copy stays."""
        read = self._read = await self._store.read_sales(self._read)
        self.missing = read is None
        if read is not None:
            self.sales = read.sales
            self.read_at_s = self._clock.monotonic()
            return
        self.sales = {
            id_: sale if sale.frozen else msgspec.structs.replace(sale, frozen=MISSING)
            for id_, sale in self.sales.items()
        }

    async def count(self, sales: Iterable[Sale]) -> None:
        """Read the counters of those of `sales` that run, and forget all others but `sales`.

        A sale whose server does not answer keeps its last reading.

        Raises:
            DependencyDown: no server answers; every reading stays.
        """
        now_ms = self._clock.now_ms()
        wanted = list(sales)
        running = [sale.id for sale in wanted if sale.phase_at(now_ms) in RUNNING]
        fresh = await self._store.readings(running)
        found = {sale.id: fresh.get(sale.id) or self._readings.get(sale.id) for sale in wanted}
        self._readings = {id_: reading for id_, reading in found.items() if reading is not None}

    def view(self, sale: Sale, watching: int) -> SaleView:
        """The sale as anyone may see it now; `watching`: sockets that watch it."""
        reading = self._readings.get(sale.id)
        sold_out = reading is not None and reading.sold_out
        return view(sale, self._clock.now_ms(), sold_out=sold_out, watching=watching)
