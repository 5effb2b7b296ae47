"""Port of the SQL ledger: holds, the ledger row, payments, outbox.

Every method is one transaction; every state change in it a single-statement compare-and-set.
All methods raise DependencyDown when the database is away, and OutcomeUnknown when a commit was
sent and its answer lost (look it up by rid; repeating the same call is always safe).
`now_ms` is the store's clock.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from miaosha.domain.money import Money
from miaosha.domain.reservation import HoldState
from miaosha.domain.sale import Phase
from miaosha.ports.audits import AuditsLedger
from miaosha.ports.leases import Leases
from miaosha.ports.orders import Delivery, Order, Orders
from miaosha.ports.outbox import OutboxItem, ParkedMails, Recipient
from miaosha.ports.rebuilding import RebuildLedger


class Terms(NamedTuple):
    """The ledger row of a sale together with the terms that decide money and time."""

    sale_id: int
    epoch: int
    frozen: str | None
    stock: int
    granted: int
    sold: int
    phase: Phase  # stored: draft, scheduled, paused, settled
    opens_at_ms: int
    closes_at_ms: int
    pay_within_s: int
    standby_pay_within_s: int
    standby_limit: int
    price: Money


class Winner(NamedTuple):
    rid: str
    user_id: int
    rank: int
    version: int
    promoted: bool


class Hold(NamedTuple):
    rid: str
    sale_id: int
    user_id: int
    state: HoldState
    reason: str | None  # expired | declined, once RELEASED
    pay_by_ms: int
    paying_since_ms: int | None
    attempt: int
    rank: int
    version: int
    promoted: bool
    extended: bool  # its pay_by was lengthened on request; that is done once
    synced: bool


class GrantRefusal(StrEnum):
    EPOCH = "epoch"  # the epoch moved: decide again
    FROZEN = "frozen"  # wait
    STOCK = "stock"  # Redis promised too much: freeze, rebuild
    USER = "user"  # a second live hold of a user: likewise


class Released(NamedTuple):
    """`holds` are those this call moved to RELEASED; `epoch`: the ledger's in that transaction."""

    epoch: int
    frozen: bool
    holds: list[Hold]


class Extended(NamedTuple):
    """`fresh`: this call lengthened the hold. `hold`: the row as it is now, None for a foreign or
    unknown rid."""

    fresh: bool
    hold: Hold | None


def attempt_key(rid: str, attempt: int) -> str:
    return f"{rid}:{attempt}"


class Attempt(NamedTuple):
    """A payment under way. `key` is the provider's idempotency key."""

    rid: str
    sale_id: int
    user_id: int
    attempt: int
    amount: Money
    paying_since_ms: int

    @property
    def key(self) -> str:
        return attempt_key(self.rid, self.attempt)


class Begun(NamedTuple):
    """A payment that has begun, and the row it pinned."""

    attempt: Attempt
    hold: Hold


class NotPayable(StrEnum):
    UNKNOWN = "unknown"  # no such hold of this user
    PAYING = "paying"
    PAID = "paid"
    RELEASED = "released"


class Captured(NamedTuple):
    """`order` None: this attempt does not own the hold any more (the charge goes back)."""

    order: Order | None
    epoch: int
    hold: Hold | None


class Unpublished(StrEnum):
    """Why a sale was not published."""

    PHASE = "phase"  # it is no draft
    FULL = "live_sales_max"  # so many sales are live already


class Ledger(Leases, Orders, RebuildLedger, AuditsLedger, ParkedMails, Protocol):
    async def ping(self) -> None: ...

    # the ledger row

    async def terms(self, sale_id: int) -> Terms | None: ...

    async def live_terms(self) -> list[Terms]:
        """Sales that are scheduled or paused (so also open, frozen and closed ones)."""

    async def live_ids(self) -> list[int]:
        """The ids of these."""

    async def settled_ids(self, limit: int) -> list[int]:
        """Of the settled sales the `limit` last ones."""

    async def publish(self, sale_id: int, live_max: int) -> Terms | Unpublished:
        """draft → scheduled, unless `live_max` sales are live. Of two at once on a SQL server both
        may be let in, whatever the number."""

    async def freeze(self, sale_id: int, epoch: int, why: str) -> bool:
        """`epoch + 1, frozen = why WHERE epoch = :epoch`. False if the epoch had moved."""

    async def raise_stock(self, sale_id: int, stock: int, now_ms: int) -> Terms | None:
        """None if it would not rise, or the sale is past closes_at or settled."""

    async def lower_stock(self, sale_id: int, stock: int) -> Terms | None:
        """`stock = :new, epoch + 1 WHERE granted <= :new`; the rebuild follows. None if more is
        granted already."""

    async def set_phase(self, sale_id: int, old: Phase, new: Phase) -> Terms | None:
        """Stored phase by compare-and-set (scheduled ↔ paused)."""

    async def close(self, sale_id: int, now_ms: int, *, if_sold_out: bool = False) -> Terms | None:
        """closes_at = now unless it is past already (or, with `if_sold_out`, a unit is not paid).
        Answers the terms as they are then."""

    async def settle_sale(self, sale_id: int, verdict: str, now_ms: int) -> bool:
        """Phase settled, the audit's verdict kept; only if nothing is HELD, PAYING or unsynced."""

    # grants and releases

    async def grant(
        self, sale_id: int, epoch: int, winners: Sequence[Winner], now_ms: int
    ) -> list[Hold] | GrantRefusal:
        """Holds for all winners, or none. Answers each winner's row as it is now (repeats
        included: a row may be RELEASED by now), in the order of `winners`. Writes the `won` or
        `your_turn` mail into the outbox. pay_by = now + pay_within_s (standby_pay_within_s if
        promoted)."""

    async def holds(self, rids: Sequence[str]) -> dict[str, Hold]: ...

    async def live_hold(self, sale_id: int, user_id: int) -> Hold | None: ...

    async def newest_hold(self, sale_id: int, user_id: int) -> Hold | None:
        """By rank."""

    async def due(self, now_ms: int, limit: int) -> list[Hold]:
        """HELD rows with pay_by + grace <= now, of sales that are not frozen, oldest first."""

    async def release(
        self, sale_id: int, rids: Sequence[str], reason: str, now_ms: int
    ) -> Released:
        """`expired` moves only what is due; `declined` any HELD. granted falls by as many; the
        `expired` mail goes into the outbox. A frozen sale: nothing."""

    async def unsynced(self, limit: int) -> list[Hold]:
        """RELEASED and PAID rows Redis has not been told of, of sales that are not frozen."""

    async def mark_synced(self, rids: Sequence[str], state: HoldState) -> None: ...

    async def extend(
        self, rid: str, user_id: int, epoch: int, extra_s: int, now_ms: int
    ) -> Extended:
        """pay_by + extra_s of a HELD row that was never extended and is not due, in a sale that has
        this epoch and is not frozen; the trail's entry is in the same transaction."""

    # payments

    async def begin_payment(
        self, rid: str, user_id: int, delivery: Delivery, now_ms: int
    ) -> Begun | NotPayable:
        """HELD → PAYING, attempt + 1 (at most MAX_ATTEMPTS), with its payments row."""

    async def capture(self, rid: str, attempt: int, now_ms: int) -> Captured:
        """PAYING → PAID by this attempt: order, `paid` mail, sold + 1. If it is PAID by this
        attempt already: the same order."""

    async def refuse(
        self, rid: str, attempt: int, now_ms: int, *, state: str = "refused"
    ) -> Released:
        """PAYING → HELD, or → RELEASED (expired) past pay_by or at the last attempt; `holds`
        holds the row only if it was released. Nothing if this attempt does not own the row.
        `state`: what the payments row becomes, refused or voided."""

    async def stale_payments(self, before_ms: int, limit: int) -> list[Attempt]:
        """PAYING since before `before_ms`."""

    async def attempt_of(self, key: str) -> Attempt | None: ...

    async def mark_refunded(self, key: str, now_ms: int) -> None:
        """A charge whose hold is not PAID by that attempt was given back; queues the `refunded`
        mail."""

    # outbox

    async def outbox_new(self, now_ms: int, limit: int) -> list[OutboxItem]:
        """Rows not queued yet, and queued ones whose retry time has come or that were queued long
        ago without an end (the mail queue may have lost them). Also rows whose time is further
        ahead than PUT_OFF_MAX_MS: the clock was ahead when they were written."""

    async def outbox_queued(self, ids: Sequence[int], now_ms: int) -> None: ...

    async def outbox_item(self, outbox_id: int) -> tuple[OutboxItem, Recipient] | None: ...

    async def outbox_sent(self, outbox_id: int, now_ms: int) -> bool:
        """False if it was sent or parked before."""

    async def outbox_failed(
        self, outbox_id: int, now_ms: int, retry_at_ms: int | None, reason: str
    ) -> None:
        """Counts an attempt; retry_at_ms None parks it."""
