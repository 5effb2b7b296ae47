"""A sale: its terms, its phase at an instant, the question a buyer is asked, and its public view.

Opening and closing are comparisons with the store's clock, never a job that has to fire. What is
stored is only what a person or the system decided (draft, scheduled, paused, settled).
"""

import functools
from enum import StrEnum

import msgspec

from miaosha.domain.mac import Mac
from miaosha.domain.money import Money


class Phase(StrEnum):
    DRAFT = "draft"
    SCHEDULED = "scheduled"
    OPEN = "open"
    PAUSED = "paused"
    FROZEN = "frozen"
    CLOSED = "closed"
    SETTLED = "settled"


class Mode(StrEnum):
    FIFO = "fifo"
    DRAW = "draw"  # reserved: only the rank would differ


class Choice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: str
    text: str


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question about the product; `answer` is the key of the right choice and stays inside."""

    id: int
    text: str
    choices: list[Choice]
    answer: str


class QuestionView(msgspec.Struct, frozen=True):
    """What a buyer sees of a question: never the answer."""

    id: int
    text: str
    choices: list[Choice]


class ProductView(msgspec.Struct, frozen=True):
    id: int
    name: str
    description: str
    picture_url: str
    list_price: Money
    picture_small_url: str = ""  # for a phone; the same one if there is none


class Sale(msgspec.Struct, frozen=True):
    """The terms of a sale as every role caches them (the `sales` hash in Redis holds this as JSON).

    Attributes:
        phase: the stored phase: draft, scheduled, paused or settled; see `phase_at`.
        frozen: the reason the system froze the sale for, or None.
        opens_at_ms, closes_at_ms: Unix milliseconds of the store's clock.
        pay_within_s, standby_pay_within_s: seconds a winner / a promoted buyer has to pay.
        standby_limit: places on standby at most.
    """

    id: int
    title: str
    mode: Mode
    phase: Phase
    product: ProductView
    price: Money
    stock: int
    opens_at_ms: int
    closes_at_ms: int
    pay_within_s: int
    standby_pay_within_s: int
    standby_limit: int
    questions: list[Question]
    frozen: str | None = None
    settled_at_ms: int | None = None

    def phase_at(self, now_ms: int) -> Phase:
        """The phase at `now_ms` (Unix ms, store clock). Settled and draft win over everything,
        then frozen, then closed by the clock, then paused."""
        if self.phase in (Phase.DRAFT, Phase.SETTLED):
            return self.phase
        if self.frozen is not None:
            return Phase.FROZEN
        if now_ms >= self.closes_at_ms:
            return Phase.CLOSED
        if self.phase is Phase.PAUSED:
            return Phase.PAUSED
        return Phase.OPEN if now_ms >= self.opens_at_ms else Phase.SCHEDULED

    def question_for(self, key: bytes, user_id: int) -> Question:
        """The question this buyer is asked: chosen by a keyed hash, so that nobody can tell
        another buyer's. `key` is the ring's key for questions (>= 32 bytes)."""
        digest = _mac(key).digest(b"%d:%d" % (self.id, user_id))
        return self.questions[int.from_bytes(digest[:8], "big") % len(self.questions)]


@functools.lru_cache(maxsize=4)
def _mac(key: bytes) -> Mac:
    return Mac(key)


class SaleView(msgspec.Struct, frozen=True):
    """A sale as anyone may see it."""

    id: int
    phase: Phase
    mode: Mode
    title: str
    product: ProductView
    price: Money
    stock: int
    available: bool
    opens_at_ms: int
    closes_at_ms: int
    pay_within_s: int
    server_time_ms: int
    watching: int


def default_standby_limit(stock: int) -> int:
    return max(1000, 10 * stock)


def view(sale: Sale, now_ms: int, *, sold_out: bool, watching: int) -> SaleView:
    """The public view of `sale` at `now_ms` (Unix ms). A sale that is over is not available.

    Args:
        sold_out: units and standby places are gone.
        watching: sockets that watch this sale now.
    """
    phase = sale.phase_at(now_ms)
    return SaleView(
        id=sale.id,
        phase=phase,
        mode=sale.mode,
        title=sale.title,
        product=sale.product,
        price=sale.price,
        stock=sale.stock,
        available=not sold_out and phase not in (Phase.CLOSED, Phase.SETTLED),
        opens_at_ms=sale.opens_at_ms,
        closes_at_ms=sale.closes_at_ms,
        pay_within_s=sale.pay_within_s,
        server_time_ms=now_ms,
        watching=watching,
    )


def ask(question: Question) -> QuestionView:
    return QuestionView(id=question.id, text=question.text, choices=question.choices)
