"""The bodies, queries and answers of the admin's routes."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from miaosha.api.schemas import Body, Id, Millis, PageQuery, Short
from miaosha.domain.money import Money
from miaosha.domain.sale import Mode, Phase, Question, Sale
from miaosha.ports.people import Product
from miaosha.ports.store import Heartbeat, Reading


class ProductBody(Body, frozen=True, kw_only=True):
    name: Short
    description: Annotated[str, Meta(max_length=4_000)] = ""
    list_price: Money


class ProductList(msgspec.Struct, frozen=True):
    items: list[Product]


class ChoiceBody(Body, frozen=True, kw_only=True):
    key: Annotated[str, Meta(min_length=1, max_length=40)]
    text: Short


class QuestionBody(Body, frozen=True, kw_only=True):
    text: Annotated[str, Meta(min_length=1, max_length=500)]
    choices: Annotated[list[ChoiceBody], Meta(min_length=2, max_length=10)]
    answer: Annotated[str, Meta(min_length=1, max_length=40, description="The right choice's key")]


class SaleBody(Body, frozen=True, kw_only=True):
    product_id: Id
    title: Short
    price: Money
    stock: Annotated[int, Meta(ge=1, le=1_000_000)]
    opens_at_ms: Millis
    closes_at_ms: Millis
    questions: Annotated[list[QuestionBody], Meta(min_length=1, max_length=50)]
    pay_within_s: Annotated[int, Meta(ge=1, le=604_800)] = 600
    standby_pay_within_s: Annotated[int, Meta(ge=1, le=604_800)] | None = None
    standby_limit: Annotated[int, Meta(ge=0, le=10_000_000)] | None = None
    mode: Mode = Mode.FIFO


class NewSaleBody(SaleBody, frozen=True, kw_only=True):
    publish: bool = False


class StockBody(Body, frozen=True, kw_only=True):
    stock: Annotated[int, Meta(ge=1, le=1_000_000)]


class AdminSale(msgspec.Struct, frozen=True):
    """A sale with what only admins see: the right answers, the reason of a freeze. `phase` is the
    phase now, `stored_phase` what a person or the system set."""

    id: int
    phase: Phase
    stored_phase: Phase
    sale: Sale


class AdminSaleList(msgspec.Struct, frozen=True):
    items: list[AdminSale]


class LedgerStats(msgspec.Struct, frozen=True):
    epoch: int
    frozen: str | None
    stock: int
    granted: int
    sold: int


class PressureView(msgspec.Struct, frozen=True):
    """The sale's queue: batches not acknowledged, the size of the log in bytes, over a limit or
    not, the age of the oldest batch not acknowledged."""

    backlog: int
    log_bytes: int
    full: bool
    oldest_ms: int


class Stats(msgspec.Struct, frozen=True):
    """`reading` (Redis), `pressure` (broker) are null while that part is away."""

    sale_id: int
    phase: Phase
    server_time_ms: int
    watching: int
    ledger: LedgerStats
    reading: Reading | None
    pressure: PressureView | None
    roles: list[Heartbeat]


class AdminOrder(msgspec.Struct, frozen=True):
    id: str
    order_no: str
    rid: str
    sale_id: int
    user_id: int
    state: str
    amount: int
    currency: str
    created_at_ms: int


class AdminOrderList(msgspec.Struct, frozen=True):
    items: list[AdminOrder]
    next_cursor: str | None


class AdminOrdersQuery(PageQuery, frozen=True):
    sale_id: Id | None = None


class CsvQuery(msgspec.Struct, frozen=True):
    sale_id: Id | None = None


class StoryQuery(msgspec.Struct, frozen=True):
    sale_id: Id | None = None


class ParkedView(msgspec.Struct, frozen=True):
    """`preview`: the first bytes, unprintable ones escaped."""

    id: str
    queue: str
    reason: str
    parked_at_ms: int
    size: int
    preview: str


class ParkedList(msgspec.Struct, frozen=True):
    items: list[ParkedView]


class TrailView(msgspec.Struct, frozen=True):
    id: int
    at_ms: int
    actor: str
    action: str
    subject: str
    detail: dict[str, Any]


class TrailList(msgspec.Struct, frozen=True):
    items: list[TrailView]
    next_cursor: str | None


def questions_of(bodies: list[QuestionBody]) -> list[Question]:
    """As the domain has them, numbered in their order."""
    return [
        msgspec.convert(
            {"id": number, **msgspec.to_builtins(body)},
            Question,
        )
        for number, body in enumerate(bodies, 1)
    ]


class DeliveryView(msgspec.Struct, frozen=True):
    name: str
    phone: str
    address: str
