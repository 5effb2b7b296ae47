"""Backoffice port: what admins read of SQL: a sale's books, orders, people, one buyer's rows.

Never on the path of a purchase, and it changes nothing. Every method is one snapshot and raises
DependencyDown when the database is away.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec

from miaosha.domain.reservation import HoldState


class SaleBooks(msgspec.Struct, frozen=True):
    """The holds of a sale counted by what became of them, its orders and its mails.

    Attributes:
        held, paying, paid, expired, declined: holds by their state now.
        promoted: holds that came from standby; `rescued`: those of them that are paid.
        mails: outbox rows by state (new, queued, sent, parked).
        verdict: what the audit last said (JSON), "" if it said nothing yet.
    """

    held: int
    paying: int
    paid: int
    expired: int
    declined: int
    promoted: int
    rescued: int
    orders: int
    mails: dict[str, int]
    verdict: str


class Milestones(msgspec.Struct, frozen=True):
    """When things happened in a sale (Unix ms, None: never), and what came of it.

    Attributes:
        gone_at_ms: the last unit given without standby; from then on buyers waited.
        buyers: people who ever had a unit on hold.
        attempts: payments by state.
        amount: money of all paid orders, minor units; `refunded`: charges given back.
    """

    first_hold_at_ms: int | None
    gone_at_ms: int | None
    first_paid_at_ms: int | None
    last_paid_at_ms: int | None
    last_promoted_at_ms: int | None
    settled_at_ms: int | None
    buyers: int
    attempts: dict[str, int]
    amount: int
    refunded: int


class OrderSearch(NamedTuple):
    """`text` is an order number, or a part of the buyer's e-mail or name, in any case, width and
    composition (`domain.folding`); `from_ms` is within, `until_ms` is not (Unix ms)."""

    text: str = ""
    sale_id: int | None = None
    user_id: int | None = None
    state: str | None = None
    from_ms: int | None = None
    until_ms: int | None = None


class FoundOrder(msgspec.Struct, frozen=True):
    """An order with its sale's title and its buyer. Personal: stored, never logged."""

    id: str
    order_no: str
    rid: str
    sale_id: int
    user_id: int
    state: str  # paid | refunded
    amount: int
    currency: str
    created_at_ms: int
    sale_title: str
    email: str
    name: str


class SentOrder(NamedTuple):
    """An order and where the goods go."""

    order: FoundOrder
    to_name: str
    phone: str
    address: str


class Found(NamedTuple):
    items: list[FoundOrder]
    next_cursor: str | None


class FoundPerson(msgspec.Struct, frozen=True):
    id: int
    email: str
    name: str
    role: str
    created_at_ms: int


class HoldLine(msgspec.Struct, frozen=True):
    """A row of `holds`; `attempt` counts payments begun."""

    rid: str
    sale_id: int
    state: HoldState
    reason: str | None
    rank: int
    promoted: bool
    extended: bool
    attempt: int
    pay_by_ms: int
    created_at_ms: int


class PaymentLine(msgspec.Struct, frozen=True):
    rid: str
    sale_id: int
    attempt: int
    state: str  # started | captured | refused | voided | refunded
    amount: int
    currency: str
    created_at_ms: int
    changed_at_ms: int


class MailLine(msgspec.Struct, frozen=True):
    """`attempts`: sendings that failed, `reason`: of the last of them."""

    rid: str
    sale_id: int
    event: str
    state: str  # new | queued | sent | parked
    attempts: int
    reason: str | None
    created_at_ms: int
    sent_at_ms: int | None


class Rows(NamedTuple):
    """Everything SQL has of a buyer, newest first, at most `rows_max` of each kind."""

    holds: list[HoldLine]
    payments: list[PaymentLine]
    mails: list[MailLine]


class Backoffice(Protocol):
    async def books(self, sale_id: int) -> SaleBooks | None:
        """None for an unknown sale."""

    async def milestones(self, sale_id: int) -> Milestones | None:
        """None for an unknown sale. May be of the replica."""

    async def orders(self, search: OrderSearch, cursor: str | None, limit: int) -> Found:
        """Newest first. May be of the replica.

        Raises:
            Problem: bad_request for a cursor that is not one.
        """

    async def sent(self, orders: Sequence[FoundOrder]) -> list[SentOrder]:
        """The same orders in the same order, with their delivery."""

    async def people(self, text: str, before_id: int | None, limit: int) -> list[FoundPerson]:
        """The newest first: whose id is `text`, or whose e-mail or name contains it in the form of
        `domain.folding`. Everybody if it is empty."""

    async def names(self, user_ids: Sequence[int]) -> dict[int, str]:
        """Names by id, of those that exist."""

    async def rows(self, user_id: int, sale_id: int | None) -> Rows:
        """A buyer's holds, payments and mails; `sale_id` None: of all sales. May be empty."""
