"""Control: what an admin or the system does to a running sale: pause, stock, rebuild, board.

SQL first; Redis is told at once and, if that failed, again by the scheduler (`catch_up`).
"""

import asyncio
from collections.abc import Sequence

import structlog

from miaosha.domain.allocation import Refusal
from miaosha.domain.errors import Problem
from miaosha.domain.reservation import HoldState
from miaosha.domain.sale import Phase, Sale, view
from miaosha.ports.catalogue import Catalogue
from miaosha.ports.clock import Clock
from miaosha.ports.heartbeats import Heartbeats, watchers
from miaosha.ports.holds import Holds
from miaosha.ports.rebuilding import PAGE
from miaosha.ports.sale_terms import SaleTerms, Terms, Unpublished
from miaosha.ports.store import SaleBoard, StockStore
from miaosha.usecases.announce import Announcer
from miaosha.usecases.coalesce import Coalescer
from miaosha.usecases.grant import Granter, winner
from miaosha.usecases.rebuild import Rebuilder

KEEP_SETTLED_MS = 86_400_000  # a settled sale stays on the board for a day,
WHOLE_S = 30.0  # between two looks at all of a board that says it did not change
SETTLED_MAX = 500  # … of so many, those settled last

log = structlog.get_logger()


def stored_phase(terms: Terms) -> str:
    """The phase Redis holds: open or paused; opening and closing are by the clock."""
    return "paused" if terms.phase is Phase.PAUSED else "open"


class Control:
    """Args: live_max: sales that may be live at once, by `schedule`."""

    def __init__(
        self,
        sales: SaleTerms,
        holds: Holds,
        store: StockStore,
        catalogue: Catalogue,
        granter: Granter,
        announcer: Announcer,
        rebuilder: Rebuilder,
        heartbeats: Heartbeats,
        clock: Clock,
        live_max: int,
    ) -> None:
        self._sales = sales
        self._holds = holds
        self._store = store
        self._catalogue = catalogue
        self._granter = granter
        self._announcer = announcer
        self._rebuilder = rebuilder
        self._heartbeats = heartbeats
        self._clock = clock
        self._live_max = live_max
        self._board: SaleBoard | None = None  # as this process read it last
        self._whole_at = float("-inf")  # when all of it was read (monotonic s)
        self._refreshes: Coalescer[None, None] = Coalescer(self._refresh_board)
        self._going_on: set[asyncio.Task[bool]] = set()

    async def schedule(self, sale_id: int) -> None:
        """draft → scheduled; Redis is armed at once. Raises Problem("conflict"), naming
        `live_sales_max` where that is why."""
        published = await self._sales.publish(sale_id, self._live_max)
        if published is Unpublished.FULL:
            raise Problem(
                "conflict",
                f"{self._live_max:,} sales are live, which is the limit (live_sales_max). "
                "Wait until one is settled, or raise it.",
            )
        if published is Unpublished.PHASE:
            raise Problem("conflict", "The sale is not a draft.")
        await self.rebuild(sale_id, "arming")

    async def pause(self, sale_id: int) -> None:
        """Raises Problem("conflict") unless it is scheduled or open."""
        await self._tell(await self._set_phase(sale_id, Phase.SCHEDULED, Phase.PAUSED))

    async def resume(self, sale_id: int) -> None:
        """Raises Problem("conflict") unless it is paused."""
        await self._tell(await self._set_phase(sale_id, Phase.PAUSED, Phase.SCHEDULED))

    async def close(self, sale_id: int) -> None:
        """closes_at = now. Raises Problem("conflict") if it is over already."""
        terms = await self._sales.close(sale_id, self._clock.now_ms())
        if terms is None:
            raise Problem("conflict", "The sale is over, or not scheduled.")
        await self._tell(terms)

    async def close_sold_out(self, sale_id: int) -> None:
        """closes_at = now if every unit is paid now: the stock may have been raised just before."""
        terms = await self._sales.close(sale_id, self._clock.now_ms(), if_sold_out=True)
        if terms is not None:
            await self._tell(terms)

    async def stock(self, sale_id: int, stock: int, within_s: float | None = None) -> None:
        """A new total. Raised: Redis follows and promotes. Lowered: never below what is granted,
        and Redis is rebuilt; `within_s`: as `rebuild_within`. Raises Problem: not_found, conflict.
        """
        terms = await self._sales.terms(sale_id)
        if terms is None:
            raise Problem("not_found", f"There is no sale {sale_id}.")
        if stock > terms.stock:
            raised = await self._sales.raise_stock(sale_id, stock, self._clock.now_ms())
            if raised is None:
                raise Problem("conflict", "The stock of a sale that is over cannot be raised.")
            await self._resize(raised)
        elif stock < terms.stock:
            if await self._sales.lower_stock(sale_id, stock) is None:
                raise Problem("conflict", "More units than that are already granted.")
            if terms.phase is not Phase.DRAFT:
                await self.rebuild_within(sale_id, within_s, "stock lowered")
        await self.refresh_board()

    async def rebuild_within(
        self, sale_id: int, within_s: float | None, why: str = "", *, patient: bool = False
    ) -> bool | None:
        """`rebuild`, waited for no longer than `within_s` (None: to its end). None: it goes on, in
        this process or, if that ends, in the scheduler; the sale is frozen until then."""
        work = self.rebuild(sale_id, why, patient=patient)
        task = asyncio.create_task(work, name=f"rebuild:{sale_id}")
        self._going_on.add(task)
        task.add_done_callback(self._ended)
        try:
            done, _ = await asyncio.wait({task}, timeout=within_s)
        except asyncio.CancelledError:
            if within_s is None:  # whoever waits to the end takes it along
                task.cancel()
            raise
        return task.result() if done else None

    def _ended(self, task: "asyncio.Task[bool]") -> None:
        self._going_on.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.warning("rebuild_later", task=task.get_name(), error=str(error))

    async def close_down(self) -> None:
        """Cut off the rebuilds that go on by themselves; the scheduler finishes them."""
        tasks = list(self._going_on)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._rebuilder.close_down()

    async def rebuild(
        self, sale_id: int, why: str = "", *, patient: bool = False, seen: Terms | None = None
    ) -> bool:
        """Rebuild the sale's Redis state now; False if a rebuild is already under way.

        Args:
            why: the reason the sale shows meanwhile; "": an admin asked for it, which also lifts a
                freeze that waits for a person, whatever becomes of this process.
            patient, seen: as of Rebuilder.
        """
        reason = why or "asked by an admin"
        done = await self._rebuilder.rebuild(
            sale_id, reason, anew=not why, patient=patient, seen=seen
        )
        await self.refresh_board()
        if done:
            await self._tell_holders(sale_id)
        return done

    async def _tell_holders(self, sale_id: int) -> None:
        """A rebuild gave them more time, and the checkout token they have ends with the old one."""
        after = (0, "")
        while True:
            page = await self._holds.page(sale_id, after)
            await self._announcer.holds([hold for hold in page if hold.state is HoldState.HELD])
            if len(page) < PAGE:
                return
            after = (page[-1].user_id, page[-1].rid)

    async def catch_up(self, terms: Terms) -> None:
        """Repeat towards Redis what it missed: phase, closes_at, a raised stock."""
        reading = await self._store.reading(terms.sale_id)
        if reading is None or reading.epoch != terms.epoch or reading.phase == "frozen":
            return
        told = (reading.phase, reading.closes_at_ms)
        if told != (stored_phase(terms), terms.closes_at_ms):
            # Redis may be the newer of the two: what SQL says after it was read is not older
            latest = await self._sales.terms(terms.sale_id)
            if latest and told != (stored_phase(latest), latest.closes_at_ms):
                await self._tell(latest)
        if reading.stock < terms.stock:
            await self._resize(terms)

    async def _set_phase(self, sale_id: int, old: Phase, new: Phase) -> Terms:
        terms = await self._sales.set_phase(sale_id, old, new)
        if terms is None:
            raise Problem("conflict", f"The sale is not {old}.")
        return terms

    async def _tell(self, terms: Terms) -> None:
        refusal = await self._store.set_phase(
            terms.sale_id, terms.epoch, stored_phase(terms), terms.closes_at_ms
        )
        if refusal is not None:
            log.info("phase_later", sale_id=terms.sale_id, refusal=refusal)
        await self.refresh_board()

    async def _resize(self, terms: Terms) -> None:
        promoted = await self._store.resize(terms.sale_id, terms.epoch, terms.stock)
        if not isinstance(promoted, Refusal) and promoted:
            winners = [winner(p) for p in promoted]
            await self._granter.grant(terms.sale_id, terms.epoch, winners)

    async def refresh_board(self) -> None:
        """Write the board from SQL and tell watchers of every sale that changed. Those who ask
        while it is being written share the next time."""
        await self._refreshes.add(None, None)

    async def _refresh_board(self, _: None, __: Sequence[None]) -> None:
        since_ms = self._clock.now_ms() - KEEP_SETTLED_MS
        sales = await self._catalogue.live()
        sales += await self._catalogue.settled(SETTLED_MAX, since_ms)
        self._board = await self._store.read_sales(self._seen())
        before = self._board.sales if self._board else {}
        if self._board and before == {sale.id: sale for sale in sales}:
            return
        await self._store.write_sales(sales)
        await self._announce([sale for sale in sales if before.get(sale.id) != sale])

    def _seen(self) -> SaleBoard | None:
        """The board as it was read last; None now and then, so that all of it is looked at."""
        now = self._clock.monotonic()
        if now - self._whole_at < WHOLE_S:
            return self._board
        self._whole_at = now
        return None

    async def _announce(self, sales: Sequence[Sale]) -> None:
        readings = await self._store.readings([sale.id for sale in sales])
        watching = watchers(await self._heartbeats.alive())
        for sale in sales:
            reading = readings.get(sale.id)
            shown = view(
                sale,
                self._clock.now_ms(),
                sold_out=reading is not None and reading.sold_out,
                watching=watching[sale.id],
            )
            await self._announcer.sale(shown)
