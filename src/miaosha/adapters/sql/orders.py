"""Orders: units sold, as their owner and the admins see them."""

import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, and_, bindparam, or_, select, tuple_

from miaosha.adapters.sql.database import AnyRow, Bulk, Database
from miaosha.adapters.sql.tables import orders, payments
from miaosha.domain.errors import Problem
from miaosha.ports.orders import Delivery, Order, OrderPage

PAGE_MAX = 1_000  # orders of one page
_ID = re.compile(r"[0-9a-z-]{1,36}")

_COLUMNS = [orders.c[name] for name in Order.__struct_fields__]

_OF = select(*_COLUMNS).where(
    orders.c.rid.in_(bindparam("rids", expanding=True)),
    tuple_(orders.c.rid, orders.c.user_id).in_(bindparam("items", expanding=True)),
)
_OF_ATTEMPT = select(*_COLUMNS).where(
    orders.c.rid == bindparam("of"), orders.c.attempt == bindparam("nth")
)
_ONE = select(*_COLUMNS).where(
    orders.c.id == bindparam("order"), orders.c.user_id == bindparam("user")
)
_NEWEST = select(*_COLUMNS).order_by(orders.c.created_at_ms.desc(), orders.c.id.desc())
_DELIVERY = (
    select(payments.c.name, payments.c.phone, payments.c.address)
    .join(orders, orders.c.rid == payments.c.rid)
    .where(orders.c.id == bindparam("order"), orders.c.attempt == payments.c.attempt)
)


def _order(row: AnyRow) -> Order:
    return Order(**row._mapping)


def order_of_attempt(connection: Connection, rid: str, attempt: int) -> Order | None:
    row = connection.execute(_OF_ATTEMPT, {"of": rid, "nth": attempt}).first()
    return _order(row) if row else None


def _orders_of(connection: Connection, items: Sequence[tuple[str, int]]) -> list[Order | None]:
    """`items`: (rid, user_id)."""
    rows = connection.execute(_OF, {"rids": [rid for rid, _ in items], "items": items})
    found = {row.rid: _order(row) for row in rows}
    return [found.get(rid) for rid, _ in items]


ORDER_OF = Bulk(_orders_of, key=lambda item: item[0])


def cursor_of(created_at_ms: int, order_id: str) -> str:
    return f"{created_at_ms}.{order_id}"


def after(cursor: str) -> Any:
    """The condition for what follows the order a cursor `created_at_ms.id` names.

    Raises:
        Problem: bad_request for anything else.
    """
    at, _, order_id = cursor.partition(".")
    if not (at.isascii() and at.isdigit() and len(at) < 17 and _ID.fullmatch(order_id)):
        raise Problem("bad_request", "this cursor is not one we gave", field="cursor")
    earlier = or_(orders.c.created_at_ms < int(at), orders.c.id < order_id)
    return and_(orders.c.created_at_ms <= int(at), earlier)  # so that an index begins there


class SqlOrders:
    """The port `Orders` in SQL."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def by_rid(self, rid: str, user_id: int) -> Order | None:
        return await self._db.read_one(ORDER_OF, (rid, user_id))

    async def by_id(self, order_id: str, user_id: int) -> Order | None:
        values = {"order": order_id, "user": user_id}
        row = await self._db.read(lambda connection: connection.execute(_ONE, values).first())
        return _order(row) if row else None

    async def page(
        self, user_id: int | None, cursor: str | None, limit: int, *, sale_id: int | None = None
    ) -> OrderPage:
        """At most `PAGE_MAX` a page. Buyers' first pages are of the primary, for they show what
        these have just bought; further pages, and what admins read, may be of the replica.

        Raises:
            Problem: bad_request for a cursor that is not one.
        """
        limit = min(max(limit, 1), PAGE_MAX)
        query = _NEWEST
        if user_id is not None:
            query = query.where(orders.c.user_id == user_id)
        if sale_id is not None:
            query = query.where(orders.c.sale_id == sale_id)
        if cursor:
            query = query.where(after(cursor))
        query = query.limit(limit + 1)
        old = cursor is not None or user_id is None
        items = await self._db.read(
            lambda c: [_order(row) for row in c.execute(query)], lagging=old
        )
        more = len(items) > limit
        last = items[limit - 1] if more else None
        return OrderPage(items[:limit], cursor_of(last.created_at_ms, last.id) if last else None)

    async def delivery(self, order_id: str) -> Delivery | None:
        row = await self._db.read(lambda c: c.execute(_DELIVERY, {"order": order_id}).first())
        return Delivery(*row) if row else None
