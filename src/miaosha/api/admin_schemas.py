"""Admin schemas: the bodies, queries and answers of the admin's routes."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from miaosha.api.schemas import Body, Cursor, Id, Limit, Millis, PageQuery, Short
from miaosha.domain.money import Money
from miaosha.domain.sale import Mode, Phase, Question, Sale
from miaosha.ports.audits import AuditRun
from miaosha.ports.backoffice import FoundOrder, FoundPerson, Milestones, SaleBooks
from miaosha.ports.catalogue import Product
from miaosha.ports.heartbeats import Heartbeat
from miaosha.ports.store import Reading
from miaosha.usecases.audit import Verdict
from miaosha.usecases.parked import ParkedKind
from miaosha.usecases.products import version_of as product_version
from miaosha.usecases.terms import version_of


class ProductBody(Body, frozen=True, kw_only=True):
    name: Short
    description: Annotated[str, Meta(max_length=4_000)] = ""
    list_price: Money


class ProductUpdateBody(ProductBody, frozen=True, kw_only=True):
    """`version`: the AdminProduct's that the change began with; if it is another by now, 409."""

    version: Short | None = None


class AdminProduct(msgspec.Struct, frozen=True):
    """`version` stands for everything but the picture."""

    id: int
    name: str
    description: str
    picture_url: str
    list_price: Money
    version: str


def admin_product(product: Product) -> AdminProduct:
    return AdminProduct(
        product.id,
        product.name,
        product.description,
        product.picture_url,
        product.list_price,
        product_version(product),
    )


class ProductList(msgspec.Struct, frozen=True):
    items: list[AdminProduct]
    next_cursor: str | None


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


class SaleUpdateBody(SaleBody, frozen=True, kw_only=True):
    """`version`: the AdminSale's that the change began with; if it is another by now, 409."""

    version: Short | None = None


class StockBody(Body, frozen=True, kw_only=True):
    stock: Annotated[int, Meta(ge=1, le=1_000_000)]


class AdminSale(msgspec.Struct, frozen=True):
    """A sale with what only admins see: the right answers, the reason of a freeze. `phase` is the
    phase now, `stored_phase` what a person or the system set; `version` stands for its terms."""

    id: int
    phase: Phase
    stored_phase: Phase
    sale: Sale
    version: str


def admin_sale(sale: Sale, now_ms: int) -> AdminSale:
    return AdminSale(sale.id, sale.phase_at(now_ms), sale.phase, sale, version_of(sale))


class AdminSaleList(msgspec.Struct, frozen=True):
    items: list[AdminSale]
    next_cursor: str | None


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
    """`reading` (Redis), `pressure` (broker) are null while that part is away; `roles` have the
    counters of all sales. `books` are at most a second old, those of a large sale some seconds.
    `audit`: what it last said; `audit_run`: one of the whole sale that is under way."""

    sale_id: int
    phase: Phase
    stored_phase: Phase
    opens_at_ms: int
    closes_at_ms: int
    settled_at_ms: int | None
    server_time_ms: int
    watching: int
    ledger: LedgerStats
    reading: Reading | None
    pressure: PressureView | None
    roles: list[Heartbeat]
    books: SaleBooks
    audit: Verdict | None
    audit_run: AuditRun | None


class AuditView(msgspec.Struct, frozen=True):
    """`verdict`: what the audit last said, null if it said nothing yet; `run`: one of the whole
    sale that is under way, null if there is none."""

    verdict: Verdict | None
    run: AuditRun | None


class Report(msgspec.Struct, frozen=True):
    """How a sale went. `audit`: what it last said; of a settled sale, when it was settled."""

    sale: AdminSale
    server_time_ms: int
    ledger: LedgerStats
    books: SaleBooks
    milestones: Milestones
    audit: Verdict | None


class AdminOrderList(msgspec.Struct, frozen=True):
    items: list[FoundOrder]
    next_cursor: str | None


SearchText = Annotated[str, Meta(max_length=200, description="A part of an e-mail or a name")]


class OrderFilter(msgspec.Struct, frozen=True, kw_only=True):
    q: Annotated[
        str, Meta(max_length=200, description="An order number, or a part of an e-mail or a name")
    ] = ""
    sale_id: Id | None = None
    user_id: Id | None = None
    state: Literal["paid", "refunded"] | None = None
    from_ms: Millis | None = None
    until_ms: Millis | None = None


class AdminOrdersQuery(OrderFilter, frozen=True, kw_only=True):
    cursor: Cursor | None = None
    limit: Limit = 20


class PeopleQuery(PageQuery, frozen=True):
    q: SearchText = ""


class PersonList(msgspec.Struct, frozen=True):
    items: list[FoundPerson]
    next_cursor: str | None


class TrailQuery(PageQuery, frozen=True):
    subject: Annotated[str, Meta(max_length=80, examples=["sale:7"])] | None = None


class StoryQuery(msgspec.Struct, frozen=True):
    sale_id: Id | None = None


class ParkedMailView(msgspec.Struct, frozen=True):
    """Whose mail it is. `attempts`: sendings that failed. Personal: stored, never logged."""

    sale_id: int
    user_id: int
    email: str
    rid: str
    attempts: int


class ParkedMessageView(msgspec.Struct, frozen=True):
    """`preview`: the first bytes, unprintable ones escaped."""

    size: int
    preview: str


class ParkedView(msgspec.Struct, frozen=True):
    """`source`: queue of a message, event of a mail. One of `mail` and `message` is null."""

    id: str
    kind: ParkedKind
    source: str
    reason: str
    parked_at_ms: int
    mail: ParkedMailView | None
    message: ParkedMessageView | None


class ParkedList(msgspec.Struct, frozen=True):
    """`messages`, `mails`: how many there are of each."""

    items: list[ParkedView]
    messages: int
    mails: int


class Redriven(msgspec.Struct, frozen=True):
    mails: int


class TrailView(msgspec.Struct, frozen=True):
    id: int
    at_ms: int
    actor: str
    action: str
    subject: str
    detail: dict[str, Any]
    actor_name: str  # "" for cli and system


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
