"""What the ledger's outbox answers: a mail to send, what must be known to write it, and mails that
were given up on.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from miaosha.domain.money import Money


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


class ParkedMails(Protocol):
    """Part of `ports.ledger.Ledger`, whose first lines hold here, too."""

    async def parked_mails(self, limit: int) -> list[ParkedMail]:
        """Those given up on last, newest first."""

    async def count_parked_mails(self) -> int: ...

    async def redrive_mails(self, ids: Sequence[int], now_ms: int) -> list[int]:
        """Parked mails (of `ids`, at most REDRIVE_MAX) become new ones, with all their attempts
        before them; returns which. One that is not parked, or not any more, is left alone."""


REDRIVE_MAX = 500
PUT_OFF_MAX_MS = 600_000  # no mail's next time is further ahead
