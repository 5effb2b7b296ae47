"""Auditing port: what each store holds of one sale, in pages.

Whoever implements these parses keys, rows and batches itself, so that a defect in the roles' own
parsing cannot hide itself. It shares connections, table definitions and names with the roles; on
RabbitMQ also the barrier and the log's end mark, the only things an audit writes. Of a
sale of any size one page is in hand at a time. All methods raise DependencyDown.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from typing import Final, NamedTuple, Protocol

import msgspec

BATCH_VERSION: Final = 1
REQUESTS_MAX: Final = 512  # in one batch


class LedgerRow(NamedTuple):
    phase: str  # as stored: draft, scheduled, paused, settled
    opens_at_ms: int
    closes_at_ms: int
    epoch: int
    frozen: str | None
    stock: int
    granted: int
    sold: int
    verdict: str | None  # what the audit last said; of a settled sale, when it was settled


class LedgerTotals(NamedTuple):
    """The ledger row, the sale's holds by state, and those of which Redis was not told that they
    ended; of one instant."""

    ledger: LedgerRow
    states: dict[str, int]
    unsynced: int


class AuditedHold(NamedTuple):
    rid: str
    user_id: int
    state: str  # HELD | PAYING | PAID | RELEASED
    reason: str | None
    rank: int
    promoted: bool
    synced: bool


class OrderRow(NamedTuple):
    rid: str
    attempt: int
    user_id: int
    order_no: str


class PaymentRow(NamedTuple):
    rid: str
    attempt: int
    state: str  # started | captured | refused | voided | refunded


class MailRow(NamedTuple):
    dedupe_key: str
    event: str
    rid: str


class LedgerPage(NamedTuple):
    """Every row of the sale about some rids, of one snapshot.

    Attributes:
        last: the highest rid that was read; None when no row of the sale has a higher one.
    """

    holds: list[AuditedHold]
    orders: list[OrderRow]
    payments: list[PaymentRow]
    mails: list[MailRow]
    last: str | None


class LedgerReader(Protocol):
    async def totals(self, sale_id: int) -> LedgerTotals | None:
        """None for an unknown sale."""

    async def page(self, sale_id: int, after: str) -> LedgerPage:
        """The rows about the rids that follow `after` in order; "" begins."""

    async def before_newest(self, sale_id: int, count: int) -> str:
        """The rid after which the newest `count` holds come; "" if there are no more."""

    async def about(self, sale_id: int, rids: Collection[str]) -> LedgerPage:
        """The rows about these rids, at most NAMES_MAX."""

    async def holds(self, sale_id: int, rids: Collection[str]) -> dict[str, AuditedHold]:
        """Of these rids, at most NAMES_MAX, by rid."""

    async def live_holds(self, sale_id: int, users: Collection[int]) -> dict[int, int]:
        """How many live holds each of these buyers (at most NAMES_MAX) has, if any."""

    async def open_sales(self, now_ms: int) -> list[int]:
        """Sales that take presses at `now_ms` (Unix ms)."""


NAMES_MAX: Final = 1_000  # rids, buyers or batches in one question


class StoreTotals(NamedTuple):
    """The counters of a sale in Redis, of one instant.

    Attributes:
        epoch: 0 if there is none (lost, or amid a rebuild).
        genuine: False on another server process than the sale was written to; None if that
            cannot be told (a cluster).
        waiting: length of the standby line; `ungranted`, `records`, `places`: sizes of the rest.
        unreadable: counters that are no numbers.
    """

    epoch: int
    genuine: bool | None
    phase: str
    stock: int
    free: int
    held: int
    paid: int
    seq: int
    waiting: int
    ungranted: int
    records: int
    places: int
    unreadable: list[str]

    @property
    def counters(self) -> tuple[int, ...]:
        """What changes when any place does."""
        return (self.epoch, self.stock, self.free, self.held, self.paid, self.seq, self.waiting)


class PlaceSeen(NamedTuple):
    user_id: int
    state: str
    rid: str
    rank: int


class PlacePage(NamedTuple):
    """Part of all places. `cursor` 0: the last of them. A place may come twice."""

    cursor: int
    places: list[PlaceSeen]
    unreadable: list[str]


class StandbyBuyer(NamedTuple):
    """A buyer near the head of standby. `score`: the rank the line is sorted by; `state`, `rid`
    and `rank`: of the buyer's place, "" and 0 if there is none."""

    user_id: int
    score: int
    state: str
    rid: str
    rank: int


class PublisherBeat(NamedTuple):
    instance: str
    beat_ms: int
    sold_out: float  # answers sold_out since the process started, of all its sales


class StoreReader(Protocol):
    async def now_ms(self) -> int:
        """The store's clock, Unix ms."""

    async def totals(self, sale_id: int) -> StoreTotals | None:
        """None if Redis holds nothing of the sale."""

    async def places(self, sale_id: int, cursor: int) -> PlacePage:
        """The places from `cursor` on; 0 begins."""

    async def places_of(self, sale_id: int, users: Collection[int]) -> dict[int, PlaceSeen]:
        """The readable places of these buyers, at most NAMES_MAX."""

    async def heads(self, sale_id: int, count: int) -> list[StandbyBuyer]:
        """The first of the standby line."""

    async def ungranted(self, sale_id: int, places: Sequence[PlaceSeen]) -> set[str]:
        """Which of these rids SQL has not been asked for yet; at most NAMES_MAX."""

    async def records(self, sale_id: int, batches: Collection[str]) -> dict[str, str]:
        """The recorded letters of these batches, at most NAMES_MAX."""

    async def odd_records(self, sale_id: int, cursor: int) -> tuple[int, list[str]]:
        """(cursor, batches whose record is unreadable) of a part of all records, as `places`."""

    async def publishers(self) -> list[PublisherBeat]:
        """The newest heartbeat of every publisher that is alive."""


class Logged(NamedTuple):
    """An entry of a sale's log. `open`: not known to be acknowledged when the log was opened."""

    batch_id: str  # "" for one that nobody can read
    requests: int
    open: bool


class Log(Protocol):
    """A sale's log and, from before it is read, what of it is not acknowledged yet. So whatever is
    not open in it was decided before."""

    def pages(self, newest: int | None = None) -> AsyncIterator[list[Logged]]:
        """In order, at most NAMES_MAX at a time; only the `newest` entries, or all."""
        ...


class QueueReader(Protocol):
    async def open(self, sale_id: int) -> Log | None:
        """None if the sale has no queue."""


def read_batch(raw: bytes, sale_id: int) -> tuple[str, int] | None:
    """(batch id, requests in it) of `[version, sale, batch id, accepted_at, users]` in any broker's
    log; None for anything else."""
    try:
        version, sale, batch_id, _, users = msgspec.msgpack.decode(raw)
        known = version == BATCH_VERSION and sale == sale_id and len(users) <= REQUESTS_MAX
        return (str(batch_id), len(users)) if known else None
    except (msgspec.DecodeError, TypeError, ValueError):
        return None
