"""Outbox: mails to send, what must be known to write them, and those that were given up on.

Part of `ports.ledger.Ledger`, whose first lines hold here, too.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from miaosha.domain.money import Money

REDRIVE_MAX = 500  # mails of one call
PUT_OFF_MAX_MS = 600_000  # no mail's next time is further ahead


class OutboxItem(NamedTuple):
    id: int
    dedupe_key: str  # event:rid
    event: str  # won | your_turn | paid | expired | refunded
    rid: str
    user_id: int
    sale_id: int
    attempts: int
    state: str  # new | queued | sent | parked


class Recipient(NamedTuple):
    """What a mail needs to know; read just before sending."""

    email: str
    name: str
    title: str
    product: str
    price: Money
    pay_by_ms: int | None
    order_no: str | None


class ParkedMail(NamedTuple):
    """A mail that was given up on. `email` is personal: never logged, "" without an account."""

    id: int
    event: str
    rid: str
    sale_id: int
    user_id: int
    email: str
    attempts: int  # sendings that failed
    reason: str  # of the last of them; names no person
    parked_at_ms: int


class Outbox(Protocol):
    async def due(self, now_ms: int, limit: int) -> list[OutboxItem]:
        """Rows not queued yet, and queued ones whose retry time has come. Also those queued long
        ago without an end: the mail queue may have lost them. Also rows whose time is further ahead
        than PUT_OFF_MAX_MS: the clock was ahead when they were written."""

    async def mark_queued(self, ids: Sequence[int], now_ms: int) -> None:
        """They are on the mail queue. One that was sent or parked before is left alone."""

    async def item(self, outbox_id: int) -> tuple[OutboxItem, Recipient] | None:
        """A row with its recipient, in any state; None: there is no such row."""

    async def mark_sent(self, outbox_id: int, now_ms: int) -> bool:
        """False if it was sent or parked before."""

    async def mark_failed(
        self, outbox_id: int, now_ms: int, retry_at_ms: int | None, reason: str
    ) -> None:
        """Counts an attempt; retry_at_ms None parks it."""

    async def parked(self, limit: int) -> list[ParkedMail]:
        """Those given up on last, newest first."""

    async def count_parked(self) -> int:
        """How many mails were given up on."""

    async def redrive(self, ids: Sequence[int], now_ms: int) -> list[int]:
        """Parked mails (of `ids`, at most REDRIVE_MAX) become new ones, with all their attempts
        before them; returns which. One that is not parked, or not any more, is left alone."""
