"""A small platform for use-case tests: the real adapters on private servers, a clock that is set by
hand, and a bus that remembers. `World.mortal` lets every port call be the last one of its process.
"""

import itertools
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import uuid_utils

from miaosha.domain.errors import DependencyDown, OutcomeUnknown
from miaosha.domain.messages import BATCH_VERSION, Batch, BusMessage, Result, Results
from miaosha.domain.money import Money
from miaosha.domain.sale import Choice, Mode, Phase, Question, Sale
from miaosha.ports.attempts import Attempt
from miaosha.ports.catalogue import Product, SaleDraft
from miaosha.ports.ledger import Ledger
from miaosha.ports.orders import Delivery
from miaosha.ports.payments import Card, Payments
from miaosha.ports.rebuilding import HoldTimes
from miaosha.usecases.allocate import Allocator
from miaosha.usecases.announce import Announcer
from miaosha.usecases.audit import Auditor
from miaosha.usecases.checkout import Checkout
from miaosha.usecases.clock_watch import ClockWatch
from miaosha.usecases.control import Control
from miaosha.usecases.extend import Extension
from miaosha.usecases.grant import Granter
from miaosha.usecases.inspect import Inspector
from miaosha.usecases.promote import Promoter
from miaosha.usecases.query import Query
from miaosha.usecases.rebuild import Rebuilder
from miaosha.usecases.release import Release
from miaosha.usecases.settlement import Settlement
from tests.kit.clocks import HandClock

GOOD = Card("4242424242424242", "12/30", "123")
REFUSED = Card("4000000000000002", "12/30", "123")
LOST = Card("4000000000000119", "12/30", "123")
REDIRECT = Card("4000000000003220", "12/30", "123")
HOME = Delivery("A Buyer", "+886 900 000 000", "1 Long Street")
EXTEND_BY_S = 120
LIVE_MAX = 5  # sales
LEASE_MS = 10_000
STEP_MAX_MS = 5_000
TIMES = HoldTimes(EXTEND_BY_S, 300)
NOUNS = frozenset(Ledger.__annotations__)
RETURN_URL = "http://localhost:8000/"


class MemoryBus:
    """Keeps what was published."""

    def __init__(self) -> None:
        self.messages: list[BusMessage] = []

    async def publish(self, message: BusMessage) -> None:
        self.messages.append(message)

    async def listen(self) -> AsyncIterator[BusMessage]:
        for message in self.messages:
            yield message

    async def close(self) -> None: ...

    def results(self, user_id: int) -> list[Result]:
        return [
            item
            for message in self.messages
            if isinstance(message, Results)
            for item in message.items
            if item.user_id == user_id
        ]


class Died(BaseException):
    """The process was killed here. Not an Exception: nothing may catch and survive it."""


@dataclass
class Fate:
    """When to die: at the `at`-th call of any mortal port, before or after it took effect. With
    `survived` only the call fails: before, the port was away; after, its answer was lost."""

    at: int
    after: bool
    survived: bool = False
    calls: int = 0
    where: str = ""

    def end(self) -> BaseException:
        if not self.survived:
            return Died()
        unknown = self.after and not self.where.startswith("after Redis")
        return (OutcomeUnknown if unknown else DependencyDown)(self.where)

    def due(self, name: str) -> bool:
        self.calls += 1
        if self.calls == self.at:
            self.where = f"{'after' if self.after else 'before'} {name}"
            return True
        return False


class Mortal:
    """A port whose calls may be the last thing a process does."""

    def __init__(self, port: Any, fate: Fate) -> None:
        self._port = port
        self._fate = fate

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._port, name)
        if name in NOUNS:
            return Mortal(value, self._fate)
        if not callable(value) or name == "replay":
            return value
        return self._wrap(name, value)

    def _wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        import inspect

        if not inspect.iscoroutinefunction(call):
            return call

        async def mortal(*args: Any, **kwargs: Any) -> Any:
            due = self._fate.due(f"{type(self._port).__name__}.{name}")
            if due and not self._fate.after:
                raise self._fate.end()
            answer = await call(*args, **kwargs)
            if due:
                raise self._fate.end()
            return answer

        return mortal


@dataclass
class Servers:
    """What survives a crash: stores, provider, clock."""

    ledger: Any
    store: Any
    broker: Any
    bus: MemoryBus
    payments: Any
    catalogue: Any
    trail: Any
    accounts: Any
    heartbeats: Any
    tokens: Any
    clock: HandClock
    auditor: Auditor


_starts = itertools.count(1)


@dataclass
class World:
    """The use cases of one process over the servers. A crash is a new World on the same servers."""

    servers: Servers
    fate: Fate | None = None
    counters: defaultdict[str, float] = field(default_factory=lambda: defaultdict(int))

    def __post_init__(self) -> None:
        s = self.servers
        ledger: Ledger = self._mortal(s.ledger)
        sales, holds = ledger.sales, ledger.holds
        store = self._mortal(s.store)
        broker = self._mortal(s.broker)
        payments: Payments = self._mortal(s.payments)
        clock = s.clock
        self.announcer = Announcer(s.bus, s.tokens)
        self.granter = Granter(sales, holds, store, broker, self.announcer, clock)
        self.release = Release(sales, holds, store, self.granter, self.announcer, clock)
        self.extension = Extension(sales, holds, self.granter, clock, EXTEND_BY_S)
        self.checkout = Checkout(
            holds,
            ledger.attempts,
            ledger.orders,
            payments,
            s.tokens,
            self.release,
            self.announcer,
            clock,
        )
        self.allocator = Allocator(sales, holds, store, self.granter, self.announcer, self.counters)
        self.query = Query(sales, holds, ledger.orders, store, s.tokens, clock)
        self.promoter = Promoter(store, self.granter, self.announcer)
        owner = f"world-{next(_starts)}"
        self.rebuilder = Rebuilder(
            ledger.leases, ledger.rebuilds, holds, store, broker, clock, owner, TIMES
        )
        self._scheduling(ledger, store, broker)

    def _scheduling(self, ledger: Ledger, store: Any, broker: Any) -> None:
        s, sales, holds, clock = self.servers, ledger.sales, ledger.holds, self.servers.clock
        self.control = Control(
            sales,
            holds,
            store,
            s.catalogue,
            self.granter,
            self.announcer,
            self.rebuilder,
            s.heartbeats,
            clock,
            LIVE_MAX,
        )
        self.watch = ClockWatch(sales, self.control, clock, LEASE_MS, STEP_MAX_MS)
        inspector = Inspector(s.auditor, ledger.audits, clock, f"world-{next(_starts)}")
        self.settlement = Settlement(
            sales,
            ledger.audits,
            store,
            broker,
            s.auditor,
            inspector,
            self.control,
            clock,
            0,
            self.watch,
        )

    def _mortal(self, port: Any) -> Any:
        return Mortal(port, self.fate) if self.fate else port

    async def users(self, count: int) -> list[int]:
        """New buyers' ids."""
        tag = uuid_utils.uuid7()
        people = [(f"{tag}.{i}@example.org", f"Buyer {i}") for i in range(count)]
        created: list[int] = await self.servers.accounts.create_many(
            people, self.servers.clock.now_ms()
        )
        return created

    async def sale(self, *, stock: int, standby: int = 100, pay_within_s: int = 60) -> Sale:
        """An open, armed sale."""
        catalogue = self.servers.catalogue
        product = await catalogue.create_product(
            Product(0, "Kettle", "Boils water.", "", Money(9900, "USD"))
        )
        now = self.servers.clock.now_ms()
        draft = SaleDraft(
            product_id=product.id,
            title="Kettles at noon",
            price=Money(4900, "USD"),
            stock=stock,
            opens_at_ms=now,
            closes_at_ms=now + 3_600_000,
            pay_within_s=pay_within_s,
            standby_pay_within_s=pay_within_s,
            standby_limit=standby,
            questions=[
                Question(1, "What does it boil?", [Choice("a", "Water"), Choice("b", "Ink")], "a")
            ],
            mode=Mode.FIFO,
        )
        sale: Sale = await catalogue.create_sale(draft, Phase.DRAFT)
        await self.control.schedule(sale.id)
        return sale

    def batch(self, sale_id: int, users: list[int]) -> Batch:
        now = self.servers.clock.now_ms()
        return Batch(BATCH_VERSION, sale_id, str(uuid_utils.uuid7()), now, users)

    async def press(self, sale_id: int, users: list[int]) -> Batch:
        """One accepted batch, in the log but not decided yet."""
        batch = self.batch(sale_id, users)
        await self.servers.broker.publish(batch)
        return batch

    async def state(self, sale_id: int, user_id: int, request_id: str | None = None) -> str:
        return (await self.query.mine(sale_id, user_id, request_id)).state

    async def token(self, sale_id: int, user_id: int) -> str:
        token = (await self.query.mine(sale_id, user_id, None)).checkout_token
        assert token is not None
        return token

    async def pay(self, sale_id: int, user_id: int, card: Card = GOOD) -> Any:
        token = await self.token(sale_id, user_id)
        return await self.checkout.pay(sale_id, user_id, token, card, HOME, RETURN_URL)

    async def duties(self, sale_id: int) -> None:
        """One round of the scheduler for one sale, with nothing too young to be left over."""
        terms = await self.servers.ledger.sales.terms(sale_id)
        assert terms is not None
        await self.release.sweep()
        await self.release.finish_unsynced()
        await self.checkout.settle_stale(self.servers.clock.now_ms() + 1)
        if await self.settlement.heal(terms):
            await self.control.catch_up(terms)
            await self.promoter.grant_left_over(sale_id, 0)
            await self.promoter.promote(sale_id, terms.epoch)


__all__ = ["GOOD", "LOST", "REDIRECT", "REFUSED", "Attempt", "Died", "Fate", "Servers", "World"]
