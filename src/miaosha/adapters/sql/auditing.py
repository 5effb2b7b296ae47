"""Audit rows: plain selects in pages by rid, with none of the ledger's code."""

from collections.abc import Callable, Collection, Iterable
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Integer, Select, Table, bindparam, false, func, select

from miaosha.adapters.sql.database import Database
from miaosha.adapters.sql.tables import holds, ledger, orders, outbox, payments, sales
from miaosha.ports.auditing import (
    AuditedHold,
    LedgerPage,
    LedgerRow,
    LedgerTotals,
    MailRow,
    OrderRow,
    PaymentRow,
)

Row = TypeVar("Row", AuditedHold, OrderRow, PaymentRow, MailRow)

PAGE: Final = 256  # holds in one page
ROWS_MAX: Final = 16 * PAGE  # rows of one other table in it
LIVE: Final = ("HELD", "PAYING", "PAID")

_SALE: Any = bindparam("sale")
_RIDS: Any = bindparam("rids", expanding=True)


class _Kind:
    """One table of the page, its columns and its questions."""

    def __init__(self, table: Table, make: Callable[[Iterable[Any]], Any], fields: Any) -> None:
        self._make = make
        of_sale = select(*(table.c[name] for name in fields)).where(table.c.sale_id == _SALE)
        in_order = of_sale.where(table.c.rid > bindparam("after")).order_by(table.c.rid)
        self._named = of_sale.where(table.c.rid.in_(_RIDS))
        self._rest = in_order.limit(bindparam("rows", type_=Integer))
        self._range = in_order.where(table.c.rid <= bindparam("upto")).limit(
            bindparam("rows", type_=Integer)
        )

    def named(self, connection: Connection, sale_id: int, rids: list[str]) -> list[Any]:
        return self._rows(connection, self._named, {"sale": sale_id, "rids": rids})

    def following(
        self, connection: Connection, sale_id: int, after: str, upto: str | None, rows: int
    ) -> list[Any]:
        values = {"sale": sale_id, "after": after, "rows": rows}
        if upto is None:
            return self._rows(connection, self._rest, values)
        return self._rows(connection, self._range, values | {"upto": upto})

    def _rows(self, connection: Connection, query: Select[Any], values: Any) -> list[Any]:
        return [self._make(row) for row in connection.execute(query, values)]


_HOLDS = _Kind(holds, AuditedHold._make, AuditedHold._fields)
_OTHERS = (
    _Kind(orders, OrderRow._make, OrderRow._fields),
    _Kind(payments, PaymentRow._make, PaymentRow._fields),
    _Kind(outbox, MailRow._make, MailRow._fields),
)
_TOTALS = (
    select(*((ledger if name in ledger.c else sales).c[name] for name in LedgerRow._fields))
    .join_from(ledger, sales, sales.c.id == ledger.c.sale_id)
    .where(ledger.c.sale_id == _SALE)
)
_STATES = (
    select(holds.c.state, func.count()).where(holds.c.sale_id == _SALE).group_by(holds.c.state)
)
# A sum, so that no index of the sale is taken: of all holds few are not told, of a sale's many are.
_UNSYNCED = (
    select(func.count())
    .where(holds.c.synced == false(), holds.c.state.in_(("RELEASED", "PAID")))
    .where(holds.c.sale_id + 0 == _SALE)
)
_NEWEST = (
    select(holds.c.rid)
    .where(holds.c.sale_id == _SALE)
    .order_by(holds.c.rid.desc())
    .offset(bindparam("newer", type_=Integer))
    .limit(1)
)
_LIVE = (
    select(holds.c.user_id, func.count())
    .where(holds.c.sale_id == _SALE, holds.c.user_id.in_(bindparam("users", expanding=True)))
    .where(holds.c.state.in_(LIVE))
    .group_by(holds.c.user_id)
)


class SqlLedgerReader:
    """Implements ports/auditing.LedgerReader."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def totals(self, sale_id: int) -> LedgerTotals | None:
        return await self._database.read(lambda connection: _totals(connection, sale_id))

    async def page(self, sale_id: int, after: str) -> LedgerPage:
        return await self._database.read(lambda connection: _page(connection, sale_id, after))

    async def before_newest(self, sale_id: int, count: int) -> str:
        values = {"sale": sale_id, "newer": count}
        found = await self._database.read(lambda c: c.execute(_NEWEST, values).scalar())
        return found or ""

    async def about(self, sale_id: int, rids: Collection[str]) -> LedgerPage:
        named = sorted(rids)

        def unit(connection: Connection) -> LedgerPage:
            held, *others = (kind.named(connection, sale_id, named) for kind in (_HOLDS, *_OTHERS))
            return LedgerPage(held, others[0], others[1], others[2], None)

        return await self._database.read(unit)

    async def holds(self, sale_id: int, rids: Collection[str]) -> dict[str, AuditedHold]:
        named = sorted(rids)
        rows = await self._database.read(lambda c: _HOLDS.named(c, sale_id, named))
        return {row.rid: row for row in rows}

    async def live_holds(self, sale_id: int, users: Collection[int]) -> dict[int, int]:
        values = {"sale": sale_id, "users": sorted(users)}
        rows = await self._database.read(lambda c: c.execute(_LIVE, values).all())
        return {row[0]: row[1] for row in rows}

    async def open_sales(self, now_ms: int) -> list[int]:
        query = (
            select(sales.c.id)
            .where(sales.c.phase == "scheduled", sales.c.opens_at_ms <= now_ms)
            .where(sales.c.closes_at_ms > now_ms)
            .order_by(sales.c.id)
        )
        return await self._database.read(lambda c: [row.id for row in c.execute(query)])


def _totals(connection: Connection, sale_id: int) -> LedgerTotals | None:
    row = connection.execute(_TOTALS, {"sale": sale_id}).first()
    if row is None:
        return None
    states = connection.execute(_STATES, {"sale": sale_id}).all()
    unsynced = connection.execute(_UNSYNCED, {"sale": sale_id}).scalar() or 0
    return LedgerTotals(LedgerRow(*row), {state[0]: state[1] for state in states}, unsynced)


def _page(connection: Connection, sale_id: int, after: str) -> LedgerPage:
    """The rows about the next PAGE holds, and about rids between them that have no hold. Where
    another table has more than ROWS_MAX of them, the page ends at a lower rid. The database says at
    which, since its order of texts need not be ours."""
    held = _HOLDS.following(connection, sale_id, after, None, PAGE)
    last = held[-1].rid if len(held) == PAGE else None
    while True:
        others = [kind.following(connection, sale_id, after, last, ROWS_MAX) for kind in _OTHERS]
        cuts = [_whole_until(rows) for rows in others if len(rows) == ROWS_MAX]
        cut = next((rid for rid in cuts if rid != last), last)
        if cut == last:  # or one rid alone has more: what there is says that it is too many
            return LedgerPage(held, others[0], others[1], others[2], last)
        last = cut
        held = _HOLDS.following(connection, sale_id, after, last, PAGE)


def _whole_until(rows: list[Any]) -> str | None:
    """The highest rid of which all rows are among these; the only one, if there is no other."""
    cut: str = rows[-1].rid
    return next((row.rid for row in reversed(rows) if row.rid != cut), cut)
