"""A sale written straight into the stores, consistent in every respect, to be broken on purpose.

Nothing of the roles' code writes here: keys, tables and the queue are set by hand. Sale 7 has five
units: buyers 1 (held), 2 (paid), 4 (paying) won directly, 3 expired, 5 was promoted, 6 is promoted
and not granted yet, 7 and 10 stand by, 8 got sold_out. Batch c is in hand, batch d undelivered.
"""

import sqlite3
from pathlib import Path
from typing import Any

import msgspec

from miaosha.adapters.redis.connect import Client

SALE = 7
TAG = f"{{sale:{SALE}}}"
META, USERS, STANDBY = f"{TAG}:meta", f"{TAG}:users", f"{TAG}:standby"
UNGRANTED, BATCHES, REQUESTS = f"{TAG}:ungranted", f"{TAG}:batches", f"{TAG}:requests"

HOLDS = [  # rid, user, state, reason, rank, promoted
    ("a.0", 1, "HELD", None, 1, 0),
    ("a.1", 2, "PAID", None, 2, 0),
    ("a.2", 3, "RELEASED", "expired", 3, 0),
    ("a.3", 4, "PAYING", None, 4, 0),
    ("a.4", 5, "HELD", None, 5, 1),
]
PLACES = {
    1: "held|a.0|1|2|9000",
    2: "paid|a.1|2|3|9000",
    3: "expired|a.2|3|3|9000",
    4: "held|a.3|4|2|9000",
    5: "held|a.4|5|3|9000",
    6: "held|a.5|6|2|0",
    7: "standby|b.0|7|1|0",
    10: "standby|b.2|8|1|0",
}
LOG = {"a": [1, 2, 3, 4, 5, 6], "b": [7, 8, 10], "marker": [], "c": [11], "d": [12, 13]}
RECORDED = {"a": "hhhhss", "b": "sos", "marker": ""}


class Stage:
    """Writers for the three stores; `sql` ignores CHECK constraints, as a defect would."""

    def __init__(self, path: Path, store: Client, broker: Client, now_ms: int) -> None:
        self.path, self.now_ms = path, now_ms
        self.store: Any = store
        self.broker: Any = broker

    def sql(self, statement: str, *values: Any) -> None:
        connection = sqlite3.connect(self.path, timeout=5)
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(statement, values)
        connection.commit()
        connection.close()

    def insert(self, table: str, **values: Any) -> None:
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        self.sql(f"INSERT INTO {table} ({names}) VALUES ({marks})", *values.values())  # noqa: S608

    async def set_up(self) -> None:
        self.product()
        self.sale(SALE)
        self.insert("ledger", sale_id=SALE, epoch=1, stock=5, granted=4, sold=1)
        for rid, user, state, reason, rank, promoted in HOLDS:
            self.hold(rid, user, state, rank, reason=reason, promoted=promoted)
            self.mail("your_turn" if promoted else "won", rid)
        self.pay("a.1", 2)
        self.mail("expired", "a.2")
        await self.write_store()
        await self.write_queue()

    # SQL

    def product(self) -> None:
        self.insert(
            "products",
            id=1,
            name="A lamp",
            description="",
            picture_url="",
            amount=2000,
            currency="EUR",
        )

    def sale(self, sale_id: int, phase: str = "scheduled") -> None:
        self.insert(
            "sales",
            id=sale_id,
            product_id=1,
            title="Lamps",
            mode="fifo",
            phase=phase,
            amount=1000,
            currency="EUR",
            opens_at_ms=self.now_ms - 60_000,
            closes_at_ms=self.now_ms + 600_000,
            pay_within_s=600,
            standby_pay_within_s=600,
            standby_limit=2,
            questions="[]",
        )

    def hold(
        self,
        rid: str,
        user: int,
        state: str,
        rank: int,
        *,
        reason: str | None = None,
        promoted: int = 0,
        live_user: int | None = None,
    ) -> None:
        live = None if state == "RELEASED" else live_user or user
        self.insert(
            "holds",
            rid=rid,
            sale_id=SALE,
            user_id=user,
            live_user=live,
            grant_id="g",
            state=state,
            reason=reason,
            pay_by_ms=9000,
            paying_since_ms=self.now_ms if state == "PAYING" else None,
            attempt=int(state in ("PAID", "PAYING")),
            rank=rank,
            version=3,
            promoted=promoted,
            extended=0,
            synced=1,
            created_at_ms=self.now_ms,
        )

    def pay(self, rid: str, user: int) -> None:
        """A captured payment, its order and its mail."""
        common = {"rid": rid, "attempt": 1, "sale_id": SALE, "user_id": user, "amount": 1000}
        self.insert(
            "payments",
            **common,
            currency="EUR",
            captured_rid=rid,
            state="captured",
            name="",
            phone="",
            address="",
            created_at_ms=1,
            changed_at_ms=1,
        )
        self.insert(
            "orders",
            **common,
            currency="EUR",
            id=f"order-{rid}",
            order_no=f"N-{rid}",
            state="paid",
            created_at_ms=1,
        )
        self.mail("paid", rid)

    def mail(self, event: str, rid: str, key: str = "") -> None:
        self.insert(
            "outbox",
            dedupe_key=key or f"{event}:{rid}",
            event=event,
            rid=rid,
            user_id=1,
            sale_id=SALE,
            state="new",
            attempts=0,
            next_at_ms=1,
            created_at_ms=1,
        )

    def settle(self, verdict: str = "{}") -> None:
        """The sale as it is long after: everything paid or released, Redis dropped."""
        self.sql("UPDATE sales SET phase = 'settled', verdict = ?, settled_at_ms = 1", verdict)

    # Redis

    async def write_store(self) -> None:
        info = await self.store.info("server")
        await self.store.hset(
            META,
            mapping={
                "epoch": 1,
                "run_id": info["run_id"],
                "phase": "open",
                "rebuilder": "",
                "stock": 5,
                "free": 0,
                "held": 4,
                "paid": 1,
                "refused": 1,
                "seq": 8,
                "clock_ms": self.now_ms,
                "closes_at_ms": self.now_ms + 600_000,
                "standby_limit": 2,
            },
        )
        await self.store.hset(USERS, mapping={str(user): text for user, text in PLACES.items()})
        await self.store.zadd(STANDBY, {"7": 7, "10": 8})
        await self.store.zadd(UNGRANTED, {"a.5|6|1": self.now_ms})
        await self.store.hset(BATCHES, mapping=RECORDED)

    async def counters(self, **values: int) -> None:
        await self.store.hset(META, mapping=values)

    async def drop_store(self) -> None:
        await self.store.delete(META, USERS, STANDBY, UNGRANTED, BATCHES)

    async def free_a_unit(self) -> None:
        """One more unit, free, and nobody on standby: buyers may go on pressing."""
        self.sql("UPDATE ledger SET stock = 6")
        await self.counters(stock=6, free=1)
        await self.store.delete(STANDBY)
        await self.store.hset(USERS, mapping={"7": "left|b.0|7|2|0", "10": "left|b.2|8|2|0"})

    async def beat(self, sold_out: int, beat_ms: int) -> None:
        text = msgspec.json.encode(
            {
                "role": "publisher",
                "instance": "0",
                "pid": 1,
                "beat_ms": beat_ms,
                "counters": {"refused_sold_out": sold_out},
                "watching": {},
            }
        )
        await self.store.hset("heartbeats", "publisher:0", text)

    # the queue

    async def write_queue(self) -> None:
        ids = {}
        for batch, users in LOG.items():
            raw = msgspec.msgpack.encode([1, SALE, batch, self.now_ms, users])
            ids[batch] = await self.broker.xadd(REQUESTS, {"b": raw})
        await self.broker.xgroup_create(REQUESTS, "consumers", id="0")
        await self.broker.xreadgroup("consumers", "consumer-0", {REQUESTS: ">"}, count=4)
        await self.broker.xack(REQUESTS, "consumers", ids["a"], ids["b"], ids["marker"])

    async def acknowledge(self) -> None:
        """Whatever is in hand is acknowledged."""
        pending = await self.broker.xpending_range(REQUESTS, "consumers", "-", "+", 100)
        await self.broker.xack(REQUESTS, "consumers", *[entry["message_id"] for entry in pending])
