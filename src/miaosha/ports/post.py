"""What the ledger's outbox answers: a mail to send, and what must be known to write it."""

from typing import NamedTuple

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
