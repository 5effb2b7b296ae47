"""Captures: PAYING → PAID with its order and mail, those that come at the same time together.

Every payment of a sale counts in the one ledger row and holds it until its commit is on disk. One
by one, a sale would take only as many a second as the disk takes commits. So those that wait share
a transaction, and the ledger row comes last in it.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import BindParameter, Connection, bindparam, insert, select, tuple_, update

from miaosha.adapters.sql.database import Bulk
from miaosha.adapters.sql.hold_rows import lock_holds
from miaosha.adapters.sql.orders import order_of_attempt
from miaosha.adapters.sql.outbox import OutboxMail, write_mails
from miaosha.adapters.sql.releases import ledger_state
from miaosha.adapters.sql.tables import holds, ledger, orders, payments
from miaosha.domain.money import Money
from miaosha.domain.reservation import HoldState
from miaosha.ports.attempts import Captured
from miaosha.ports.holds import Hold
from miaosha.ports.orders import Order

_RIDS: BindParameter[Any] = bindparam("rids", expanding=True)
_KEYS: BindParameter[Any] = bindparam("keys", expanding=True)  # (rid, attempt)
_PAID = (
    update(holds)
    .where(holds.c.rid.in_(_RIDS), tuple_(holds.c.rid, holds.c.attempt).in_(_KEYS))
    .where(holds.c.state == HoldState.PAYING)
    .values(
        state=HoldState.PAID,
        paying_since_ms=None,
        synced=False,
        version=holds.c.version + 1,
    )
)
_CAPTURED = (
    update(payments)
    .where(payments.c.rid.in_(_RIDS), tuple_(payments.c.rid, payments.c.attempt).in_(_KEYS))
    .values(state="captured", captured_rid=payments.c.rid, changed_at_ms=bindparam("now_ms"))
)
_AMOUNTS = select(payments.c.rid, payments.c.amount, payments.c.currency).where(
    payments.c.captured_rid.in_(_RIDS)
)
_ORDER = insert(orders)
_SOLD = (
    update(ledger)
    .where(ledger.c.sale_id == bindparam("sale"))
    .values(sold=ledger.c.sold + bindparam("more"))
)


class Charged(NamedTuple):
    """An attempt whose money came in, and the number its order gets."""

    rid: str
    attempt: int
    order_no: str
    now_ms: int


def _capture(connection: Connection, items: Sequence[Charged]) -> list[Captured]:
    found = lock_holds(connection, [item.rid for item in items])
    own = [item for item in items if _owns(item, found.get(item.rid))]
    done = _pay(connection, own, found) if own else {}
    return [done.get(item.rid) or _before(connection, item, found.get(item.rid)) for item in items]


def _owns(item: Charged, hold: Hold | None) -> bool:
    return hold is not None and hold.state is HoldState.PAYING and hold.attempt == item.attempt


def _before(connection: Connection, item: Charged, hold: Hold | None) -> Captured:
    """It owns the row no more: it was captured before, or has lost it."""
    epoch = ledger_state(connection, hold.sale_id)[0] if hold else 0
    return Captured(order_of_attempt(connection, item.rid, item.attempt), epoch, hold)


def _pay(
    connection: Connection, items: Sequence[Charged], found: dict[str, Hold]
) -> dict[str, Captured]:
    """Rows that are locked become PAID; what follows from it is written."""
    now_ms = max(item.now_ms for item in items)
    _move(connection, items, now_ms)
    amounts = _amounts(connection, items)
    made = [_order(item, found[item.rid], amounts[item.rid]) for item in items]
    rows = [
        {"attempt": item.attempt, **_values(order)} for item, order in zip(items, made, strict=True)
    ]
    connection.execute(_ORDER, rows)
    mails = [OutboxMail("paid", o.rid, o.rid, o.user_id, o.sale_id) for o in made]
    write_mails(connection, mails, now_ms)
    epochs = _count(connection, Counter(order.sale_id for order in made))
    return {
        order.rid: Captured(order, epochs[order.sale_id], _paid(found[order.rid])) for order in made
    }


def _move(connection: Connection, items: Sequence[Charged], now_ms: int) -> None:
    rids = [item.rid for item in items]
    keys = [(item.rid, item.attempt) for item in items]
    moved = connection.execute(_PAID, {"rids": rids, "keys": keys}).rowcount
    assert moved == len(items), (moved, len(items))
    connection.execute(_CAPTURED, {"rids": rids, "keys": keys, "now_ms": now_ms})


def _amounts(connection: Connection, items: Sequence[Charged]) -> dict[str, Money]:
    rows = connection.execute(_AMOUNTS, {"rids": [item.rid for item in items]})
    return {row.rid: Money(row.amount, row.currency) for row in rows}


def _order(item: Charged, hold: Hold, amount: Money) -> Order:
    return Order(
        id=str(uuid4()),
        order_no=item.order_no,
        rid=item.rid,
        sale_id=hold.sale_id,
        user_id=hold.user_id,
        state="paid",
        amount=amount.amount,
        currency=amount.currency,
        created_at_ms=item.now_ms,
    )


def _values(order: Order) -> dict[str, Any]:
    return {name: getattr(order, name) for name in order.__struct_fields__}


def _paid(hold: Hold) -> Hold:
    """The row as `_move` left it."""
    return hold._replace(
        state=HoldState.PAID, paying_since_ms=None, synced=False, version=hold.version + 1
    )


def _count(connection: Connection, sold: Counter[int]) -> dict[int, int]:
    """Last, for every payment of these sales waits for their rows. Answers the epochs."""
    for sale_id in sorted(sold):
        connection.execute(_SOLD, {"sale": sale_id, "more": sold[sale_id]})
    return {sale_id: ledger_state(connection, sale_id)[0] for sale_id in sold}


CAPTURE = Bulk(_capture, key=lambda item: item.rid)
"""Every attempt its own order number: a taken one is an IntegrityError for that item alone."""
