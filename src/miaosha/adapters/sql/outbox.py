"""The outbox: mails written in the transaction of what they tell, sent later, once per event."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, Connection, Integer, bindparam, func, select, update

from miaosha.adapters.sql.database import AnyRow, Bulk, Database, primary_key_only
from miaosha.adapters.sql.inserts import insert_ignoring
from miaosha.adapters.sql.tables import holds, orders, outbox, products, sales, users
from miaosha.domain.money import Money
from miaosha.ports.outbox import PUT_OFF_MAX_MS, REDRIVE_MAX, OutboxItem, ParkedMail, Recipient

REQUEUE_AFTER_MS = PUT_OFF_MAX_MS  # queued without an end by then, it may be lost on its way
AHEAD_MS = PUT_OFF_MAX_MS + 60_000  # clocks of machines differ a little
REASON_MAX = 200  # characters of a failure that are kept
UNSENT = ("new", "queued")

_COLUMNS = [outbox.c[name] for name in OutboxItem._fields]

_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_SENT = (
    update(outbox)
    .where(outbox.c.id.in_(_IDS), outbox.c.state.in_(UNSENT))
    .values(state="sent", sent_at_ms=bindparam("now_ms"))
)
_QUEUED = (
    update(outbox)
    .where(outbox.c.id.in_(_IDS), outbox.c.state.in_(UNSENT))
    .values(state="queued", next_at_ms=bindparam("again_ms"))
)
_FAILED = (
    update(outbox)
    .where(outbox.c.id == bindparam("mail"), outbox.c.state.in_(UNSENT))
    .values(
        state=bindparam("then"),
        attempts=outbox.c.attempts + 1,
        next_at_ms=bindparam("again_ms"),
        reason=bindparam("why"),
    )
)
_LOCK_UNSENT = primary_key_only(
    select(outbox.c.id)
    .where(outbox.c.id.in_(_IDS), outbox.c.state.in_(UNSENT))
    .order_by(outbox.c.id)
    .with_for_update(),
    outbox,
)
_IN_ORDER = (
    select(*_COLUMNS, outbox.c.next_at_ms)
    .where(outbox.c.state == bindparam("state"))
    .order_by(outbox.c.next_at_ms, outbox.c.id)
    .limit(bindparam("n", type_=Integer))
)
_DUE = _IN_ORDER.where(outbox.c.next_at_ms <= bindparam("now_ms"))
# Nothing is put off for so long: the clock was ahead when it was written.
_AHEAD = _IN_ORDER.where(outbox.c.next_at_ms > bindparam("latest_ms"))
_IS_PARKED = outbox.c.state == "parked"
_PARKED = (
    select(
        outbox.c.id,
        outbox.c.event,
        outbox.c.rid,
        outbox.c.sale_id,
        outbox.c.user_id,
        func.coalesce(users.c.email, ""),
        outbox.c.attempts,
        func.coalesce(outbox.c.reason, ""),
        outbox.c.next_at_ms,  # a parked one has no next time: it is when it was parked
    )
    .outerjoin(users, users.c.id == outbox.c.user_id)
    .where(_IS_PARKED)
    .order_by(outbox.c.next_at_ms.desc(), outbox.c.id.desc())
    .limit(bindparam("n", type_=Integer))
)
_LOCK_PARKED = primary_key_only(
    select(outbox.c.id)
    .where(outbox.c.id.in_(_IDS), _IS_PARKED)
    .order_by(outbox.c.id)
    .with_for_update(),
    outbox,
)
_COUNT_PARKED = select(func.count()).select_from(outbox).where(_IS_PARKED)
_REDRIVEN = (
    update(outbox)
    .where(outbox.c.id.in_(_IDS), _IS_PARKED)
    .values(state="new", attempts=0, reason=None, next_at_ms=bindparam("now_ms"))
)
_WITH_RECIPIENT = (
    select(
        *_COLUMNS,
        func.coalesce(users.c.email, "").label("email"),
        func.coalesce(users.c.name, "").label("name"),
        sales.c.title,
        products.c.name.label("product"),
        sales.c.amount,
        sales.c.currency,
        holds.c.pay_by_ms,
        orders.c.order_no,
    )
    .join(sales, sales.c.id == outbox.c.sale_id)
    .join(products, products.c.id == sales.c.product_id)
    .outerjoin(users, users.c.id == outbox.c.user_id)
    .outerjoin(holds, holds.c.rid == outbox.c.rid)
    .outerjoin(orders, orders.c.rid == outbox.c.rid)
    .where(outbox.c.id.in_(_IDS))
)


class OutboxMail(NamedTuple):
    """One mail to write. `about` makes it unique per event: the rid, or a payment's key."""

    event: str
    about: str
    rid: str
    user_id: int
    sale_id: int


def write_mails(connection: Connection, mails: Sequence[OutboxMail], now_ms: int) -> None:
    """Part of the caller's transaction; a mail that is there already is passed over."""
    insert_ignoring(
        connection,
        outbox,
        [
            {
                "dedupe_key": f"{mail.event}:{mail.about}",
                "event": mail.event,
                "rid": mail.rid,
                "user_id": mail.user_id,
                "sale_id": mail.sale_id,
                "state": "new",
                "attempts": 0,
                "next_at_ms": now_ms,
                "created_at_ms": now_ms,
            }
            for mail in mails
        ],
    )


def _recipient(row: AnyRow) -> Recipient:
    return Recipient(
        email=row.email,
        name=row.name,
        title=row.title,
        product=row.product,
        price=Money(row.amount, row.currency),
        pay_by_ms=row.pay_by_ms,
        order_no=row.order_no,
    )


def _items(connection: Connection, ids: Sequence[int]) -> list[tuple[OutboxItem, Recipient] | None]:
    rows = {row.id: row for row in connection.execute(_WITH_RECIPIENT, {"ids": ids})}
    found = {id_: (OutboxItem(*row[: len(_COLUMNS)]), _recipient(row)) for id_, row in rows.items()}
    return [found.get(outbox_id) for outbox_id in ids]


def _sent(connection: Connection, items: Sequence[tuple[int, int]]) -> list[bool]:
    """`items`: (id, now_ms). Which of them this call moved."""
    ids = [outbox_id for outbox_id, _ in items]
    unsent = _lock_unsent(connection, ids) if len(ids) > 1 else set()
    now_ms = max(now_ms for _, now_ms in items)
    moved = connection.execute(_SENT, {"ids": ids, "now_ms": now_ms}).rowcount
    if len(ids) == 1:  # as a mailer sends them: its count says it, without a look before
        return [moved > 0]
    return [outbox_id in unsent for outbox_id in ids]


def _lock_unsent(connection: Connection, ids: Sequence[int]) -> set[int]:
    return set(connection.scalars(_LOCK_UNSENT, {"ids": ids}))


ITEM = Bulk(_items, key=lambda outbox_id: outbox_id)
SENT = Bulk(_sent, key=lambda item: item[0])


class SqlOutbox:
    """The port `Outbox` in SQL."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def due(self, now_ms: int, limit: int) -> list[OutboxItem]:
        def unit(connection: Connection) -> list[OutboxItem]:
            found: list[AnyRow] = []
            for state in UNSENT:  # one by one: so each comes in the order of its index
                asked = {"state": state, "n": limit}
                found += connection.execute(_DUE, {**asked, "now_ms": now_ms})
                found += connection.execute(_AHEAD, {**asked, "latest_ms": now_ms + AHEAD_MS})
            found.sort(key=lambda row: (row.next_at_ms, row.id))
            return [OutboxItem(*row[: len(_COLUMNS)]) for row in found[:limit]]

        return await self._db.read(unit)

    async def mark_queued(self, ids: Sequence[int], now_ms: int) -> None:
        values = {"ids": ids, "again_ms": now_ms + REQUEUE_AFTER_MS}
        if ids:
            await self._db.write(lambda connection: connection.execute(_QUEUED, values))

    async def item(self, outbox_id: int) -> tuple[OutboxItem, Recipient] | None:
        """An account that is gone has the e-mail "": such a mail cannot be sent."""
        return await self._db.read_one(ITEM, outbox_id)

    async def mark_sent(self, outbox_id: int, now_ms: int) -> bool:
        return await self._db.write_one(SENT, (outbox_id, now_ms))

    async def mark_failed(
        self, outbox_id: int, now_ms: int, retry_at_ms: int | None, reason: str
    ) -> None:
        values = {"mail": outbox_id, "why": reason[:REASON_MAX]}
        if retry_at_ms is None:
            values |= {"then": "parked", "again_ms": now_ms}
        else:
            values |= {"then": "queued", "again_ms": retry_at_ms}
        await self._db.write(lambda connection: connection.execute(_FAILED, values))

    async def parked(self, limit: int) -> list[ParkedMail]:
        return await self._db.read(
            lambda c: [ParkedMail(*row) for row in c.execute(_PARKED, {"n": limit})]
        )

    async def count_parked(self) -> int:
        return await self._db.read(lambda c: c.execute(_COUNT_PARKED).scalar() or 0)

    async def redrive(self, ids: Sequence[int], now_ms: int) -> list[int]:
        assert len(ids) <= REDRIVE_MAX, len(ids)

        def unit(connection: Connection) -> list[int]:
            parked = list(connection.scalars(_LOCK_PARKED, {"ids": ids})) if ids else []
            if parked:
                connection.execute(_REDRIVEN, {"ids": parked, "now_ms": now_ms})
            return parked

        return await self._db.write(unit)
