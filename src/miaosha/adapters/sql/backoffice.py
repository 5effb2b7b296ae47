"""Backoffice: what admins read across buyers (`ports.backoffice.Backoffice`). Books are apart."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, and_, or_, select

from miaosha.adapters.sql.books import read_books, read_milestones
from miaosha.adapters.sql.database import Database
from miaosha.adapters.sql.orders import after, cursor_of
from miaosha.adapters.sql.searching import containing
from miaosha.adapters.sql.tables import holds, orders, outbox, payments, sales, users
from miaosha.domain.folding import folded
from miaosha.ports.backoffice import (
    Found,
    FoundOrder,
    FoundPerson,
    HoldLine,
    MailLine,
    Milestones,
    OrderSearch,
    PaymentLine,
    Rows,
    SaleBooks,
    SentOrder,
)

PAGE_MAX: Final = 500  # of one answer
ROWS_MAX: Final = 200  # of one kind, of one buyer

_ORDERED = [orders.c[name] for name in FoundOrder.__struct_fields__ if name in orders.c]
_PERSON = [users.c[name] for name in FoundPerson.__struct_fields__]


class SqlBackoffice:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def books(self, sale_id: int) -> SaleBooks | None:
        return await self._db.read(lambda connection: read_books(connection, sale_id))

    async def milestones(self, sale_id: int) -> Milestones | None:
        return await self._db.read(
            lambda connection: read_milestones(connection, sale_id), lagging=True
        )

    async def orders(self, search: OrderSearch, cursor: str | None, limit: int) -> Found:
        limit = min(max(limit, 1), PAGE_MAX)
        query = _searched(search).order_by(orders.c.created_at_ms.desc(), orders.c.id.desc())
        if cursor:
            query = query.where(after(cursor))
        query = query.limit(limit + 1)
        items = await self._db.read(
            lambda c: [FoundOrder(**row._mapping) for row in c.execute(query)], lagging=True
        )
        last = items[limit - 1] if len(items) > limit else None
        following = cursor_of(last.created_at_ms, last.id) if last else None
        return Found(items[:limit], following)

    async def sent(self, orders_: Sequence[FoundOrder]) -> list[SentOrder]:
        query = (
            select(orders.c.id, payments.c.name, payments.c.phone, payments.c.address)
            .join(payments, payments.c.rid == orders.c.rid)
            .where(orders.c.attempt == payments.c.attempt)
            .where(orders.c.id.in_([order.id for order in orders_[:PAGE_MAX]]))
        )
        rows = await self._db.read(lambda c: c.execute(query).all(), lagging=True)
        to = {row.id: (row.name, row.phone, row.address) for row in rows}
        return [SentOrder(order, *to.get(order.id, ("", "", ""))) for order in orders_]

    async def people(self, text: str, before_id: int | None, limit: int) -> list[FoundPerson]:
        query = select(*_PERSON).order_by(users.c.id.desc()).limit(min(max(limit, 1), PAGE_MAX))
        if text:
            found, number = _of_people(text), folded(text)
            if number.isascii() and number.isdigit() and len(number) < 16:
                found = or_(found, users.c.id == int(number))
            query = query.where(found)
        if before_id is not None:
            query = query.where(users.c.id < before_id)
        return await self._db.read(
            lambda c: [FoundPerson(**row._mapping) for row in c.execute(query)], lagging=True
        )

    async def names(self, user_ids: Sequence[int]) -> dict[int, str]:
        query = select(users.c.id, users.c.name).where(users.c.id.in_(list(user_ids)[:PAGE_MAX]))
        rows = await self._db.read(lambda c: c.execute(query).all(), lagging=True)
        return {row.id: row.name for row in rows}

    async def rows(self, user_id: int, sale_id: int | None) -> Rows:
        def unit(connection: Connection) -> Rows:
            held = _held(connection, user_id, sale_id)
            rids = [line.rid for line in held]
            of_sales = {line.sale_id for line in held}
            return Rows(
                held,
                _lines(connection, payments, PaymentLine, payments.c.rid.in_(rids)),
                _lines(
                    connection,
                    outbox,
                    MailLine,
                    and_(outbox.c.sale_id.in_(of_sales), outbox.c.rid.in_(rids)),
                ),
            )

        return await self._db.read(unit)


def _of_people(text: str) -> ColumnElement[bool]:
    return or_(containing(users.c.email, text), containing(users.c.name, text))


def _searched(search: OrderSearch) -> Select[Any]:
    query = (
        select(*_ORDERED, sales.c.title.label("sale_title"), users.c.email, users.c.name)
        .join(sales, sales.c.id == orders.c.sale_id)
        .join(users, users.c.id == orders.c.user_id)
    )
    if search.text:
        by_number = orders.c.order_no == folded(search.text).upper().replace("\0", "")
        found = select(users.c.id).where(_of_people(search.text))  # each name is read once
        query = query.where(or_(by_number, orders.c.user_id.in_(found)))
    for column, wanted in (
        (orders.c.sale_id, search.sale_id),
        (orders.c.user_id, search.user_id),
        (orders.c.state, search.state),
    ):
        if wanted is not None:
            query = query.where(column == wanted)
    if search.from_ms is not None:
        query = query.where(orders.c.created_at_ms >= search.from_ms)
    if search.until_ms is not None:
        query = query.where(orders.c.created_at_ms < search.until_ms)
    return query


def _held(connection: Connection, user_id: int, sale_id: int | None) -> list[HoldLine]:
    """The buyer's holds, found sale by sale: no table has an index by buyer alone, and everything
    else about a buyer hangs on a hold."""
    found: list[HoldLine] = []
    ids = [sale_id] if sale_id is not None else connection.scalars(select(sales.c.id)).all()
    for start in range(0, len(ids), PAGE_MAX):
        some = holds.c.sale_id.in_(ids[start : start + PAGE_MAX])
        found += _lines(connection, holds, HoldLine, and_(some, holds.c.user_id == user_id))
    found.sort(key=lambda line: line.created_at_ms, reverse=True)
    return found[:ROWS_MAX]


def _lines(connection: Connection, table: Any, kind: Any, which: Any) -> list[Any]:
    query = (
        select(*(table.c[name] for name in kind.__struct_fields__))
        .where(which)
        .order_by(table.c.created_at_ms.desc())
        .limit(ROWS_MAX)
    )
    return [kind(**row._mapping) for row in connection.execute(query)]
