"""The API on real adapters: SQLite, a private Valkey for store and broker, the sandbox provider.

Only what has nothing to do with HTTP is replaced: argon2 (slow on purpose), the bus (recorded),
files (a dict), the clock (can be moved on).
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import httpx2
import msgspec
from litestar import Litestar

from miaosha.adapters.guessing import is_guessable
from miaosha.adapters.payments import SANDBOX_PAGE
from miaosha.adapters.payments.sandbox import SandboxPayments
from miaosha.adapters.pictures import WorkerPictures
from miaosha.adapters.redis.broker import RedisBroker
from miaosha.adapters.redis.connect import connect
from miaosha.adapters.redis.heartbeats import RedisHeartbeats
from miaosha.adapters.redis.store import RedisStore
from miaosha.adapters.sql.accounts import SqlAccounts
from miaosha.adapters.sql.backoffice import SqlBackoffice
from miaosha.adapters.sql.catalogue import SqlCatalogue
from miaosha.adapters.sql.engine import open_database
from miaosha.adapters.sql.ledger import SqlLedger
from miaosha.adapters.sql.trail import SqlTrail
from miaosha.api.app import create_app
from miaosha.bootstrap import ApiParts
from miaosha.domain.allocation import Decision
from miaosha.domain.errors import Problem
from miaosha.domain.messages import Batch, BusMessage
from miaosha.domain.place import Letter
from miaosha.ports.holds import Hold, Winner
from miaosha.ports.rebuilding import HoldTimes
from miaosha.ports.tokens import CheckoutClaim, Identity
from miaosha.settings import Settings
from miaosha.usecases.announce import Announcer
from miaosha.usecases.audit import Verdict
from miaosha.usecases.checkout import Checkout
from miaosha.usecases.control import Control
from miaosha.usecases.extend import Extension
from miaosha.usecases.grant import Granter
from miaosha.usecases.inspect import Inspector
from miaosha.usecases.parked import Parking
from miaosha.usecases.query import Query
from miaosha.usecases.rebuild import Rebuilder
from miaosha.usecases.release import Release
from tests.kit.clocks import RunningClock

SHOP = "http://shop.test"
_numbers = itertools.count(1)


class PlainTokens:
    """Tokens anyone could forge; what is tested here is what the API makes of a verdict."""

    def access(self, user_id: int, role: str, now_ms: int) -> str:
        return self._made("access", user_id, role, now_ms + 28_800_000)

    def verify_access(self, token: str, now_ms: int) -> Identity:
        user_id, role, expires_ms = self._read("access", token, tuple[int, str, int])
        if expires_ms <= now_ms:
            raise Problem("unauthorized")
        return Identity(user_id, role, expires_ms // 1000)

    def checkout(self, rid: str, sale_id: int, user_id: int, pay_by_ms: int) -> str:
        return self._made("checkout", rid, sale_id, user_id, pay_by_ms + 2_000)

    def verify_checkout(self, token: str, now_ms: int) -> CheckoutClaim:
        rid, sale_id, user_id, expires_ms = self._read("checkout", token, tuple[str, int, int, int])
        return CheckoutClaim(rid, sale_id, user_id, expires_ms <= now_ms)

    def device(self, email: str, device_id: str | None, now_ms: int) -> str:
        return self._made("device", email, device_id or f"d{next(_numbers)}")

    def verify_device(self, token: str, email: str, now_ms: int) -> str | None:
        try:
            of, device_id = self._read("device", token, tuple[str, str])
        except Problem:
            return None
        return str(device_id) if of == email else None

    def question_key(self) -> bytes:
        return b"q" * 32

    def _made(self, *parts: object) -> str:
        return msgspec.json.encode(parts).hex()

    def _read(self, audience: str, token: str, kind: Any) -> Any:
        try:
            head, *rest = msgspec.json.decode(bytes.fromhex(token))
            if head != audience:
                raise ValueError(token)
            return msgspec.convert(tuple(rest), kind)
        except (ValueError, TypeError):
            raise Problem("unauthorized") from None


class PlainPasswords:
    def __init__(self) -> None:
        self.verified: list[str | None] = []
        self.known: list[bool] = []

    async def hash(self, password: str) -> str:
        return f"plain${password}"

    async def guessable(self, password: str, own: Sequence[str]) -> bool:
        return is_guessable(password, own)

    async def verify(self, password: str, encoded: str | None, *, known: bool = False) -> bool:
        self.verified.append(encoded)
        self.known.append(known)
        return encoded is not None and encoded.partition("$")[2] == password

    def outdated(self, encoded: str) -> bool:
        return encoded.startswith("old$")


class RecordedBus:
    def __init__(self) -> None:
        self.messages: list[BusMessage] = []

    async def publish(self, message: BusMessage) -> None:
        self.messages.append(message)

    async def listen(self) -> AsyncIterator[BusMessage]:
        for message in self.messages:
            yield message

    async def close(self) -> None: ...


class DictFiles:
    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}

    async def put(self, name: str, content: bytes, content_type: str) -> str:
        self.stored[name] = content
        return f"/files/{name}"

    async def get(self, name: str) -> bytes | None:
        return self.stored.get(name)

    async def delete(self, name: str) -> None:
        self.stored.pop(name, None)


class SetAuditor:
    """Answers the verdict it was given, once `go_on` is set."""

    def __init__(self) -> None:
        self.verdict = Verdict(1, True, [], 1, {})
        self.runs = 0
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()
        self.go_on.set()

    async def audit(self, sale_id: int, told: Callable[[int], None]) -> Verdict:
        self.runs += 1
        told(400_000)
        self.begun.set()
        await self.go_on.wait()
        return self.verdict


@dataclass
class Person:
    id: int
    email: str
    token: str

    @property
    def auth(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}


@dataclass
class World:
    parts: ApiParts
    app: Litestar
    http: httpx2.AsyncClient
    clock: RunningClock
    granter: Granter
    bus: RecordedBus
    passwords: PlainPasswords
    files: DictFiles
    auditor: SetAuditor
    counters: dict[str, float] = field(default_factory=dict)

    async def person(self, role: str = "buyer") -> Person:
        email = f"p{next(_numbers)}@example.test"
        user = await self.parts.accounts.create(
            email, "Pat Doe", "plain$correct horse", role, self.clock.now_ms()
        )
        token = self.parts.tokens.access(user.id, role, self.clock.now_ms())
        return Person(user.id, email, token)

    def sale_body(self, product_id: int, **changes: Any) -> dict[str, Any]:
        now = self.clock.now_ms()
        return {
            "product_id": product_id,
            "title": "Kettle rush",
            "price": {"amount": 4_900, "currency": "EUR"},
            "stock": 2,
            "opens_at_ms": now - 1_000,
            "closes_at_ms": now + 3_600_000,
            "questions": [
                {
                    "text": f"Question {n}: what colour is it?",
                    "choices": [{"key": "a", "text": "Red"}, {"key": "b", "text": "Blue"}],
                    "answer": "b",
                }
                for n in range(3)
            ],
        } | changes

    async def product(self, admin: Person) -> int:
        body = {"name": "Kettle", "list_price": {"amount": 9_900, "currency": "EUR"}}
        made = await self.http.post("/api/v1/admin/products", json=body, headers=admin.auth)
        assert made.status_code == 201, made.text
        return int(made.json()["id"])

    async def sale(self, admin: Person, **changes: Any) -> int:
        """A published sale that is open now."""
        body = self.sale_body(await self.product(admin), publish=True, **changes)
        made = await self.http.post("/api/v1/admin/sales", json=body, headers=admin.auth)
        assert made.status_code == 201, made.text
        return int(made.json()["id"])

    async def press(self, sale_id: int, *user_ids: int) -> Batch:
        """What publisher and consumer do: decide, and grant whoever won."""
        terms = await self.parts.ledger.sales.terms(sale_id)
        assert terms is not None
        batch = Batch(1, sale_id, f"0190-{next(_numbers)}", self.clock.now_ms(), list(user_ids))
        decision = await self.parts.store.decide(sale_id, terms.epoch, batch)
        assert isinstance(decision, Decision), decision
        winners = [
            Winner(place.rid, user, place.rank, place.version, promoted=False)
            for user, letter, place in zip(user_ids, decision.letters, decision.places, strict=True)
            if letter == Letter.HELD and place
        ]
        rows = await self.granter.grant(sale_id, terms.epoch, winners)
        assert isinstance(rows, dict), rows
        return batch

    async def hold(self, sale_id: int, person: Person) -> Hold:
        await self.press(sale_id, person.id)
        hold = await self.parts.ledger.holds.live(sale_id, person.id)
        assert hold is not None
        return hold

    async def checkout_body(
        self, sale_id: int, person: Person, card: str = "4242424242424242"
    ) -> dict[str, Any]:
        mine = await self.http.get(f"/api/v1/sales/{sale_id}/purchases/mine", headers=person.auth)
        return {
            "checkout_token": mine.json()["checkout_token"],
            "payment": {"card": card, "expiry": "12/30", "cvc": "123"},
            "name": "Pat Doe",
            "phone": "+49 30 123456",
            "address": "1 Main Street\nBerlin",
        }


@contextlib.asynccontextmanager
async def open_world(
    store_url: str, database_url: str, passwords: Any = None, **settings: Any
) -> AsyncIterator[World]:
    """A world on these stores; `settings` are those that differ from the defaults, `passwords` a
    real judge and hasher, if that is what is tested."""
    async with contextlib.AsyncExitStack() as stack:
        client = connect(store_url)
        stack.push_async_callback(client.aclose)
        clock = RunningClock(await RedisStore(client).now_ms())
        broker = _broker(store_url)
        stack.push_async_callback(broker.close)
        database = open_database(database_url, "")
        stack.push_async_callback(database.close)
        passwords = passwords or PlainPasswords()
        bus, files, auditor = RecordedBus(), DictFiles(), SetAuditor()
        core = Core(clock, RedisStore(client), broker, SqlLedger(database), bus)
        parts = _parts(core, database, RedisHeartbeats(client), passwords, files, auditor)
        counters: dict[str, float] = {}
        values = Settings(public_url=SHOP, payments_url="sandbox:", **settings)
        app = create_app(parts, values, counters)
        stack.push_async_callback(app.state.context.close)
        transport = httpx2.ASGITransport(app=cast("Any", app), raise_app_exceptions=False)
        http = await stack.enter_async_context(
            httpx2.AsyncClient(transport=transport, base_url=SHOP)
        )
        yield World(parts, app, http, clock, core.granter, bus, passwords, files, auditor, counters)


def _broker(url: str) -> RedisBroker:
    return RedisBroker(
        url,
        backlog_max=100,
        log_max_bytes=1_000_000,
        prefetch=16,
        reclaim_after_ms=5_000,
        confirm_timeout_ms=5_000,
    )


class Core:
    """The use cases every part is made of."""

    def __init__(
        self,
        clock: RunningClock,
        store: RedisStore,
        broker: RedisBroker,
        ledger: SqlLedger,
        bus: RecordedBus,
    ) -> None:
        self.clock, self.store, self.broker, self.ledger, self.bus = (
            clock,
            store,
            broker,
            ledger,
            bus,
        )
        self.tokens = PlainTokens()
        self.announcer = Announcer(bus, self.tokens)
        self.granter = Granter(ledger.sales, ledger.holds, store, broker, self.announcer, clock)
        self.release = Release(
            ledger.sales, ledger.holds, store, self.granter, self.announcer, clock
        )


def _control(core: Core, catalogue: SqlCatalogue, heartbeats: RedisHeartbeats) -> Control:
    ledger, store, clock = core.ledger, core.store, core.clock
    times, owner = HoldTimes(120, 300), f"test-{next(_numbers)}"
    rebuilder = Rebuilder(
        ledger.leases, ledger.rebuilds, ledger.holds, store, core.broker, clock, owner, times
    )
    return Control(
        ledger.sales,
        ledger.holds,
        store,
        catalogue,
        core.granter,
        core.announcer,
        rebuilder,
        heartbeats,
        clock,
        100,
    )


def _parts(
    core: Core,
    database: Any,
    heartbeats: RedisHeartbeats,
    passwords: PlainPasswords,
    files: DictFiles,
    auditor: SetAuditor,
) -> ApiParts:
    ledger, store, broker = core.ledger, core.store, core.broker
    tokens, clock = core.tokens, core.clock
    payments = SandboxPayments(database, clock, b"w" * 32, SHOP + SANDBOX_PAGE)
    catalogue = SqlCatalogue(database)
    sales, holds = ledger.sales, ledger.holds
    checkout = Checkout(
        holds, ledger.attempts, ledger.orders, payments, tokens, core.release, core.announcer, clock
    )
    return ApiParts(
        ledger=ledger,
        store=store,
        broker=broker,
        bus=core.bus,
        clock=clock,
        tokens=tokens,
        passwords=passwords,
        accounts=SqlAccounts(database),
        catalogue=catalogue,
        trail=SqlTrail(database),
        backoffice=SqlBackoffice(database),
        files=files,
        pictures=WorkerPictures(),
        payments=payments,
        heartbeats=heartbeats,
        query=Query(sales, holds, ledger.orders, store, tokens, clock),
        checkout=checkout,
        release=core.release,
        extension=Extension(sales, holds, core.granter, clock, 120),
        auditor=cast("Any", auditor),
        parking=Parking(ledger.outbox, broker, SqlTrail(database), clock),
        inspector=Inspector(cast("Any", auditor), ledger.audits, clock, f"test-{next(_numbers)}"),
        control=_control(core, catalogue, heartbeats),
        checks={"database": ledger.ping, "broker": broker.ping},
    )
