"""Ports of the audit: the raw facts of one sale, as each store holds them.

Whoever implements these shares no code with the roles: it reads keys and tables as they are and
parses them itself, so that a defect in the roles' own reading cannot hide itself. Read-only.
"""

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


class HoldRow(NamedTuple):
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


class LedgerFacts(NamedTuple):
    """One snapshot of everything SQL knows of a sale."""

    ledger: LedgerRow
    holds: list[HoldRow]
    orders: list[OrderRow]
    payments: list[PaymentRow]
    mails: list[MailRow]


class Waiting(NamedTuple):
    """A buyer near the head of standby. `score`: the rank the line is sorted by; `state`, `rid`
    and `rank`: of the buyer's place, "" and 0 if there is none."""

    user_id: int
    score: int
    state: str
    rid: str
    rank: int


class StoreFacts(NamedTuple):
    """What Redis holds of a sale. The counters are of one instant, the places are not.

    Attributes:
        epoch: 0 if there is none (lost, or amid a rebuild).
        genuine: False on another server process than the sale was written to; None if that
            cannot be told (a cluster).
        waiting: length of the standby line, of the same instant as the counters.
        held, paid: user → rid of the places in that state.
        standing: places in state standby; `still`: no counter changed while places were read,
            so that they may be counted against each other.
        heads: the first of the standby line.
        ungranted: rids that SQL has not been asked for.
        letters: batch id → one letter per request.
        unreadable: entries that are not what they should be.
    """

    epoch: int
    genuine: bool | None
    phase: str
    stock: int
    free: int
    counted_held: int
    counted_paid: int
    seq: int
    waiting: int
    held: dict[int, str]
    paid: dict[int, str]
    standing: int
    still: bool
    heads: list[Waiting]
    ungranted: set[str]
    letters: dict[str, str]
    unreadable: list[str]


class QueueFacts(NamedTuple):
    """The sale's log: `requests`: batch id → requests in it; `open`: ids of batches that are
    not acknowledged yet; `undecodable`: entries nobody can read."""

    requests: dict[str, int]
    open: set[str]
    undecodable: int


class PublisherBeat(NamedTuple):
    instance: str
    beat_ms: int
    sold_out: float  # answers sold_out since the process started, of all its sales


class LedgerReader(Protocol):
    async def facts(self, sale_id: int) -> LedgerFacts | None:
        """None for an unknown sale. Raises DependencyDown."""

    async def open_sales(self, now_ms: int) -> list[int]:
        """Sales that take presses at `now_ms` (Unix ms)."""


class StoreReader(Protocol):
    async def now_ms(self) -> int:
        """The store's clock, Unix ms. Raises DependencyDown."""

    async def facts(self, sale_id: int) -> StoreFacts | None:
        """None if Redis holds nothing of the sale. Raises DependencyDown."""

    async def publishers(self) -> list[PublisherBeat]:
        """The newest heartbeat of every publisher that is alive."""


class QueueReader(Protocol):
    async def facts(self, sale_id: int) -> QueueFacts | None:
        """None if the sale has no queue. Raises DependencyDown."""


def read_batch(raw: bytes, sale_id: int) -> tuple[str, int] | None:
    """(batch id, requests in it) of `[version, sale, batch id, accepted_at, users]` in any broker's
    log; None for anything else."""
    try:
        version, sale, batch_id, _, users = msgspec.msgpack.decode(raw)
        known = version == BATCH_VERSION and sale == sale_id and len(users) <= REQUESTS_MAX
        return (str(batch_id), len(users)) if known else None
    except (msgspec.DecodeError, TypeError, ValueError):
        return None
