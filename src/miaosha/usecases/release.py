"""End holds: by expiry (reminder or sweep), by the buyer, and finish what a crash left half told.

SQL first, then the Lua release, which hands the unit on in the same step, then `synced`. A death in
between leaves the row unsynced, and the next sweep finishes it.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import structlog

from miaosha.domain.allocation import Place, Refusal
from miaosha.domain.errors import Fault, OutcomeUnknown, Problem
from miaosha.domain.messages import Result, split_rid
from miaosha.domain.reservation import HoldState, State
from miaosha.domain.sale import Phase
from miaosha.ports.broker import Reminder
from miaosha.ports.clock import StepClock, surely_ms
from miaosha.ports.holds import GrantRefusal, Hold, Holds, Winner
from miaosha.ports.sale_terms import SaleTerms, Terms
from miaosha.ports.store import Decisions
from miaosha.usecases.announce import Announcer
from miaosha.usecases.grant import Granter, ending, winner

SWEEP_MAX = 256  # holds one sweep releases

T = TypeVar("T")
R = TypeVar("R")

log = structlog.get_logger()


class Release:
    def __init__(
        self,
        sales: SaleTerms,
        holds: Holds,
        store: Decisions,
        granter: Granter,
        announcer: Announcer,
        clock: StepClock,
    ) -> None:
        self._sales = sales
        self._holds = holds
        self._store = store
        self._granter = granter
        self._announcer = announcer
        self._clock = clock

    async def sweep(self) -> int:
        """Release what is due, at most SWEEP_MAX; returns how many."""
        due = _by_sale(await self._holds.due(surely_ms(self._clock), SWEEP_MAX))
        rids = {sale_id: [hold.rid for hold in holds] for sale_id, holds in due.items()}
        return sum(await _each(rids, self._expire))

    async def remind(self, reminders: Sequence[Reminder]) -> None:
        """Reminders came due. Early, late, twice or for a hold that is gone: nothing happens."""
        by_sale: defaultdict[int, list[str]] = defaultdict(list)
        for reminder in reminders:
            by_sale[reminder.sale_id].append(reminder.rid)
        try:
            await _each(by_sale, self._expire)
        except Fault:
            raise
        except Exception:  # it would come again for ever; the sweep finds the same holds
            log.exception("reminder_failed")

    async def give_up(self, sale_id: int, user_id: int) -> None:
        """The buyer gives up a hold or a standby place. Repeating it changes nothing.

        Raises:
            Problem: payment_in_progress, conflict (paid already), frozen, not_found (no place).
        """
        terms = await self._sales.terms(sale_id)
        if terms is None or terms.phase in (Phase.DRAFT, Phase.SETTLED):
            raise Problem("not_found")
        if terms.frozen is not None:
            raise Problem("frozen", retry_after_s=2)
        hold = await self._holds.live(sale_id, user_id)
        if hold is None:
            hold = await self._leave(terms, user_id)
        if hold is None:
            return
        if hold.state is HoldState.PAID:
            raise Problem("conflict", "This unit is paid.")
        if hold.state is HoldState.PAYING:
            raise Problem("payment_in_progress", retry_after_s=1)
        if not await self._release(sale_id, [hold.rid], "declined"):
            raise Problem("payment_in_progress", retry_after_s=1)

    async def _leave(self, terms: Terms, user_id: int) -> Hold | None:
        """Leave standby. Returns the hold to decline if the buyer has one by now."""
        place = await self._store.leave(terms.sale_id, terms.epoch, user_id)
        if isinstance(place, Refusal):
            raise Problem("frozen", retry_after_s=2)
        if place is None:
            raise Problem("not_found")
        if place.state is State.LEFT:
            gone = Result(terms.sale_id, user_id, place.rid, place.state, place.version)
            await self._announcer.results([gone])
        if place.state is not State.HELD:
            return None
        return await self._grant_first(terms, user_id, place)

    async def _grant_first(self, terms: Terms, user_id: int, place: Place) -> Hold | None:
        """A hold SQL does not know yet is granted before it can be declined."""
        batch_id, index = split_rid(place.rid)
        letter = await self._store.letter(terms.sale_id, batch_id, index)
        won = Winner(place.rid, user_id, place.rank, place.version, promoted=letter == "s")
        rows = await self._granter.grant(terms.sale_id, terms.epoch, [won])
        if isinstance(rows, GrantRefusal):
            raise Problem("frozen", retry_after_s=2)
        hold = rows[place.rid]
        return None if hold.state is HoldState.RELEASED else hold

    async def _expire(self, sale_id: int, rids: Sequence[str]) -> int:
        return await self._release(sale_id, rids, "expired")

    async def _release(self, sale_id: int, rids: Sequence[str], reason: str) -> int:
        try:
            released = await self._holds.release(sale_id, rids, reason, surely_ms(self._clock))
        except OutcomeUnknown:
            return await self._look_up(sale_id, rids)
        if released.holds:
            await self.tell(sale_id, released.epoch, released.holds)
        return len(released.holds)

    async def _look_up(self, sale_id: int, rids: Sequence[str]) -> int:
        """The answer to a release was lost: whatever has ended and is untold, is told. A release
        that was not made is found due again, or asked for again."""
        rows = await self._holds.by_rid(rids)
        ended = [h for h in rows.values() if h.state is HoldState.RELEASED and not h.synced]
        if ended:
            await self._finish(sale_id, ended)
        return len(ended)

    async def tell(self, sale_id: int, epoch: int, holds: Sequence[Hold]) -> None:
        """Tell the buyers and Redis of RELEASED and PAID rows, grant what that promoted, and mark
        them synced.

        Args:
            epoch: read from the ledger in the transaction of these rows, or after it.
        """
        await self._announcer.holds(holds)
        gone = [hold for hold in holds if hold.state is HoldState.RELEASED]
        paid = [hold for hold in holds if hold.state is HoldState.PAID]
        if paid:
            refusal = await self._store.settle(sale_id, epoch, [ending(h) for h in paid])
            if refusal is None:
                await self._holds.mark_synced([h.rid for h in paid], HoldState.PAID)
        if gone:
            promoted = await self._store.release(sale_id, epoch, [ending(h) for h in gone])
            if not isinstance(promoted, Refusal):
                await self._holds.mark_synced([h.rid for h in gone], HoldState.RELEASED)
                if promoted:
                    await self._granter.grant(sale_id, epoch, [winner(p) for p in promoted])

    async def finish_unsynced(self) -> int:
        """Tell Redis of rows a crash left untold; returns how many were tried."""
        rows = await self._holds.unsynced(SWEEP_MAX)
        await _each(_by_sale(rows), self._finish)
        return len(rows)

    async def _finish(self, sale_id: int, holds: Sequence[Hold]) -> None:
        terms = await self._sales.terms(sale_id)
        if terms is not None and terms.frozen is None:
            await self.tell(sale_id, terms.epoch, holds)


async def _each(
    by_sale: Mapping[int, Sequence[T]], act: Callable[[int, Sequence[T]], Awaitable[R]]
) -> list[R]:
    """Act on every sale, whatever happens with the others; then raise the first error there was."""
    done: list[R] = []
    failed: Exception | None = None
    for sale_id, items in by_sale.items():
        try:
            done.append(await act(sale_id, items))
        except Exception as error:
            log.warning("sale_later", sale_id=sale_id, error=type(error).__name__)
            failed = failed or error
    if failed is not None:
        raise failed
    return done


def _by_sale(holds: Iterable[Hold]) -> dict[int, list[Hold]]:
    grouped: defaultdict[int, list[Hold]] = defaultdict(list)
    for hold in holds:
        grouped[hold.sale_id].append(hold)
    return grouped
