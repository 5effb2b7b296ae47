"""The audit's own view of the tables: plain selects of one snapshot, none of the ledger's code."""

from typing import Any

from sqlalchemy import Connection, Table, select

from miaosha.adapters.sql.database import Database
from miaosha.adapters.sql.tables import holds, ledger, orders, outbox, payments, sales
from miaosha.ports.auditing import (
    HoldRow,
    LedgerFacts,
    LedgerRow,
    MailRow,
    OrderRow,
    PaymentRow,
)


class SqlLedgerReader:
    """Implements ports/auditing.LedgerReader."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def facts(self, sale_id: int) -> LedgerFacts | None:
        return await self._database.read(lambda connection: _facts(connection, sale_id))

    async def open_sales(self, now_ms: int) -> list[int]:
        query = (
            select(sales.c.id)
            .where(sales.c.phase == "scheduled", sales.c.opens_at_ms <= now_ms)
            .where(sales.c.closes_at_ms > now_ms)
            .order_by(sales.c.id)
        )
        return await self._database.read(lambda c: [row.id for row in c.execute(query)])


def _facts(connection: Connection, sale_id: int) -> LedgerFacts | None:
    columns = [(ledger if name in ledger.c else sales).c[name] for name in LedgerRow._fields]
    query = (
        select(*columns)
        .join_from(ledger, sales, sales.c.id == ledger.c.sale_id)
        .where(ledger.c.sale_id == sale_id)
    )
    row = connection.execute(query).first()
    if row is None:
        return None
    return LedgerFacts(
        LedgerRow(*row),
        _rows(connection, holds, HoldRow, sale_id),
        _rows(connection, orders, OrderRow, sale_id),
        _rows(connection, payments, PaymentRow, sale_id),
        _rows(connection, outbox, MailRow, sale_id),
    )


def _rows(connection: Connection, table: Table, kind: Any, sale_id: int) -> list[Any]:
    fields: tuple[str, ...] = kind._fields
    query = select(*(table.c[name] for name in fields)).where(table.c.sale_id == sale_id)
    return [kind(*row) for row in connection.execute(query)]
