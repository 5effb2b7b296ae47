"""Make holds true: SQL first, then the reminder, the push, and Redis's `granted`.

The process that caused a hold (a decision, a promotion, a resize) calls this at once. If it dies,
the hold is still on `ungranted`, and the scheduler calls this again. A buyer is told only after
the commit.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial

import structlog

from miaosha.domain.allocation import Promoted, Refusal
from miaosha.domain.errors import Fault
from miaosha.domain.reservation import GRACE_MS, HoldState, State
from miaosha.ports.broker import Broker, Reminder
from miaosha.ports.clock import Clock
from miaosha.ports.holds import GrantRefusal, Hold, Holds, Winner
from miaosha.ports.sale_terms import SaleTerms
from miaosha.ports.store import Decisions, Ending, GrantedHold
from miaosha.usecases.announce import Announcer
from miaosha.usecases.retry_unknown import retry_unknown

GRANT_CHUNK = 512  # winners in one transaction

log = structlog.get_logger()


def winner(promoted: Promoted) -> Winner:
    return Winner(promoted.rid, promoted.user_id, promoted.rank, promoted.version, promoted=True)


def ending(hold: Hold) -> Ending:
    state = State.PAID if hold.state is HoldState.PAID else State(hold.reason or State.EXPIRED)
    return Ending(hold.user_id, hold.rid, state, hold.version)


def _version_held(hold: Hold) -> int:
    """The version a place takes over. Redis knows no payment: a place that reads held must not have
    the version at which its buyer was told `paying` or `paid`."""
    return hold.version if hold.state is HoldState.HELD else 0


class Granter:
    def __init__(
        self,
        sales: SaleTerms,
        holds: Holds,
        store: Decisions,
        broker: Broker,
        announcer: Announcer,
        clock: Clock,
    ) -> None:
        self._sales = sales
        self._holds = holds
        self._store = store
        self._broker = broker
        self._announcer = announcer
        self._clock = clock

    async def grant(
        self, sale_id: int, epoch: int, winners: Sequence[Winner]
    ) -> dict[str, Hold] | GrantRefusal:
        """Grant, announce and tell Redis. Returns the rows by rid.

        Args:
            epoch: the one `decide` was called with, or that was read together with `ungranted`.

        If a row is RELEASED by now, its Lua release is repeated, and what that promotes is granted,
        too. On STOCK or USER this call has frozen the sale: Redis promised what SQL cannot keep. On
        EPOCH and FROZEN nothing happened. Chunks before a refusal stay granted.
        """
        rows: dict[str, Hold] = {}
        todo = list(winners)
        while todo:
            chunk, todo = todo[:GRANT_CHUNK], todo[GRANT_CHUNK:]
            now_ms = self._clock.now_ms()
            grant = partial(self._holds.grant, sale_id, epoch, chunk, now_ms)
            holds = await retry_unknown(grant)
            if isinstance(holds, GrantRefusal):
                await self._refused(sale_id, epoch, holds)
                return holds
            rows |= {hold.rid: hold for hold in holds}
            await self.tell(sale_id, epoch, holds)
            todo += await self._release_again(sale_id, epoch, holds)
        return rows

    async def tell(self, sale_id: int, epoch: int, holds: Sequence[Hold]) -> None:
        """Tell the owners, the reminder and Redis of rows as SQL committed them. A repeat changes
        nothing; a reminder that is too many finds nothing due.

        Raises:
            DependencyDown: Redis is away; owners and reminder have been told.
        """
        await self._announcer.holds(holds)
        await self._remind(holds)
        await self._tell_store(sale_id, epoch, holds)

    async def _refused(self, sale_id: int, epoch: int, why: GrantRefusal) -> None:
        if why in (GrantRefusal.STOCK, GrantRefusal.USER):
            frozen = await self._sales.freeze(sale_id, epoch, f"grant refused: {why}")
            log.error("grant_refused", sale_id=sale_id, epoch=epoch, why=why, frozen=frozen)

    async def _tell_store(self, sale_id: int, epoch: int, holds: Iterable[Hold]) -> None:
        told = [
            GrantedHold(hold.user_id, hold.rid, hold.pay_by_ms, _version_held(hold))
            for hold in holds
            if hold.state is not HoldState.RELEASED
        ]
        if told:  # a refusal is no loss: whoever moved the epoch has read SQL after this commit
            await self._store.granted(sale_id, epoch, told)

    async def _release_again(self, sale_id: int, epoch: int, holds: Iterable[Hold]) -> list[Winner]:
        gone = [ending(hold) for hold in holds if hold.state is HoldState.RELEASED]
        if not gone:
            return []
        promoted = await self._store.release(sale_id, epoch, gone)
        if isinstance(promoted, Refusal):
            return []  # the row is unsynced or the rebuild reads it
        return [winner(p) for p in promoted]

    async def _remind(self, holds: Iterable[Hold]) -> None:
        """A lost reminder is only unpunctual: the sweep finds the same hold."""
        now = self._clock.now_ms()
        by_due: defaultdict[int, list[Reminder]] = defaultdict(list)
        for hold in holds:
            if hold.state is HoldState.HELD:
                by_due[hold.pay_by_ms].append(Reminder(hold.sale_id, hold.rid))
        try:
            for pay_by_ms, reminders in by_due.items():
                await self._broker.remind(reminders, max(0, pay_by_ms + GRACE_MS - now) / 1000)
        except Fault as error:
            log.warning("reminder_lost", error=str(error))
