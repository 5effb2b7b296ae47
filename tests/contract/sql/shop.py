"""A small shop in a fresh database, and short words for what tests do in it."""

from dataclasses import dataclass, field

from miaosha.adapters.sql.accounts import SqlAccounts
from miaosha.adapters.sql.catalogue import SqlCatalogue
from miaosha.adapters.sql.database import Database
from miaosha.adapters.sql.ledger import SqlLedger
from miaosha.adapters.sql.trail import SqlTrail
from miaosha.domain.money import Money
from miaosha.domain.reservation import HoldState
from miaosha.domain.sale import Choice, Phase, Question
from miaosha.ports.attempts import Attempt, BegunAttempt
from miaosha.ports.catalogue import Product, SaleDraft
from miaosha.ports.holds import Hold, Holds, Winner
from miaosha.ports.orders import Delivery, Order
from miaosha.ports.sale_terms import Terms

NOW = 1_700_000_000_000
OPENS, CLOSES = NOW - 60_000, NOW + 3_600_000
PAY_WITHIN_S, STANDBY_PAY_WITHIN_S = 600, 300
DELIVERY = Delivery("Ann", "+1 555 0100", "1 Main Street")
QUESTION = Question(1, "How many?", [Choice("a", "one"), Choice("b", "two")], "b")


def winner(user: int, *, rid: str = "", promoted: bool = False, version: int = 1) -> Winner:
    return Winner(rid or f"batch.{user}", user, user, version, promoted)


def draft(product_id: int, *, stock: int = 10) -> SaleDraft:
    return SaleDraft(
        product_id=product_id,
        title="A sale",
        price=Money(4_999, "USD"),
        stock=stock,
        opens_at_ms=OPENS,
        closes_at_ms=CLOSES,
        pay_within_s=PAY_WITHIN_S,
        standby_pay_within_s=STANDBY_PAY_WITHIN_S,
        standby_limit=1_000,
        questions=[QUESTION],
    )


async def all_holds(rows: Holds, sale_id: int) -> list[Hold]:
    """Every row of the sale, by buyer."""
    found: list[Hold] = []
    while page := await rows.page(
        sale_id, (found[-1].user_id, found[-1].rid) if found else (0, "")
    ):
        found += page
    return found


@dataclass
class Shop:
    db: Database
    ledger: SqlLedger = field(init=False)
    accounts: SqlAccounts = field(init=False)
    catalogue: SqlCatalogue = field(init=False)
    trail: SqlTrail = field(init=False)

    def __post_init__(self) -> None:
        self.ledger = SqlLedger(self.db)
        self.accounts = SqlAccounts(self.db)
        self.catalogue = SqlCatalogue(self.db)
        self.trail = SqlTrail(self.db)

    async def product(self) -> Product:
        product = Product(0, "Lamp", "A lamp.", "/files/lamp.png", Money(9_999, "USD"))
        return await self.catalogue.create_product(product)

    async def sale(
        self, *, stock: int = 10, phase: Phase = Phase.SCHEDULED, armed: bool = True
    ) -> int:
        """A sale's id; armed means epoch 1 and not frozen."""
        product = await self.product()
        sale = await self.catalogue.create_sale(draft(product.id, stock=stock), phase)
        if armed and phase is Phase.SCHEDULED:
            assert await self.ledger.rebuilds.begin(sale.id, "arming")
            assert await self.ledger.rebuilds.unfreeze(sale.id, 1)
        return sale.id

    async def terms(self, sale_id: int) -> Terms:
        terms = await self.ledger.sales.terms(sale_id)
        assert terms is not None
        return terms

    async def grant(self, sale_id: int, *users: int, promoted: bool = False) -> list[Hold]:
        epoch = (await self.terms(sale_id)).epoch
        winners = [winner(user, promoted=promoted) for user in users]
        holds = await self.ledger.holds.grant(sale_id, epoch, winners, NOW)
        assert isinstance(holds, list), holds
        return holds

    async def hold(self, rid: str) -> Hold:
        return (await self.ledger.holds.by_rid([rid]))[rid]

    async def holds_of(self, sale_id: int) -> list[Hold]:
        """Every row of the sale, by buyer."""
        return await all_holds(self.ledger.holds, sale_id)

    async def begin(self, user: int, now_ms: int = NOW) -> Attempt:
        begun = await self.ledger.attempts.begin(f"batch.{user}", user, DELIVERY, now_ms)
        assert isinstance(begun, BegunAttempt), begun
        return begun.attempt

    async def pay(self, user: int, now_ms: int = NOW) -> Order:
        attempt = await self.begin(user, now_ms)
        captured = await self.ledger.attempts.capture(attempt.rid, attempt.attempt, now_ms)
        assert captured.order is not None
        return captured.order

    async def mails(self) -> list[str]:
        """Dedupe keys in the order of writing."""
        return [item.dedupe_key for item in await self.ledger.outbox.due(NOW + 10**9, 1_000)]

    async def balanced(self, sale_id: int) -> None:
        """I2: the ledger row says what the holds say."""
        terms = await self.terms(sale_id)
        holds = await self.holds_of(sale_id)
        states = [hold.state for hold in holds]
        live = [hold for hold in holds if hold.state is not HoldState.RELEASED]
        assert terms.granted == len(live) <= terms.stock
        assert terms.sold == states.count(HoldState.PAID)
        assert len({hold.user_id for hold in live}) == len(live)
        orders = await self.ledger.orders.page(None, None, 1_000, sale_id=sale_id)
        assert len(orders.items) == terms.sold
