"""How statements find their rows: none goes through the shop's history, however long that is.

On SQLite every statement of a whole sale is explained. On the servers, which choose by what is in
the tables, those that ask for a sale's rows are, beside a long history of another sale.
"""

import sqlite3
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, Select, Table, event, insert, text

from miaosha.adapters.sql.auditing import SqlLedgerReader
from miaosha.adapters.sql.backoffice import SqlBackoffice
from miaosha.adapters.sql.database import Database
from miaosha.adapters.sql.tables import holds, orders, outbox, payments, sales, users
from miaosha.ports.audits import AuditRun
from miaosha.ports.backoffice import OrderSearch
from miaosha.ports.rebuilding import HoldBounds
from tests.contract.sql.shop import NOW, Shop
from tests.contract.sql.test_dialects import _whole_sale

HISTORY = ("holds", "payments", "orders", "outbox", "audit", "users", "sandbox_charges")
OLD = 20_000  # rows of another sale
SLICE = 2_000  # of them
Run = tuple[Select[Any], Any]


async def ask_about(shop: Shop, sale: int) -> None:
    """Everything that is asked of one sale."""
    reader, backoffice = SqlLedgerReader(shop.db), SqlBackoffice(shop.db)
    await reader.totals(sale)
    page = await reader.page(sale, "")
    await reader.page(sale, "batch.1")
    await reader.about(sale, {"batch.1"})
    await reader.before_newest(sale, 1)
    await reader.holds(sale, {"batch.1"})
    await reader.live_holds(sale, {1})
    assert page.last is None
    await backoffice.books(sale)
    await backoffice.milestones(sale)
    await backoffice.orders(OrderSearch(sale_id=sale), f"{NOW}.x", 10)
    await backoffice.rows(1, sale)
    await backoffice.rows(1, None)
    ledger = shop.ledger
    await ledger.holds.page(sale, (0, ""))
    await ledger.holds.page(sale, (1, "batch.1"))
    await ledger.rebuilds.bring_within(sale, ["batch.1"], HoldBounds(NOW, NOW, NOW, NOW))
    await ledger.rebuilds.buyers(sale, [1])
    await ledger.holds.live(sale, 1)
    await ledger.holds.newest(sale, 1)
    await ledger.holds.due(NOW, 10)
    await ledger.holds.unsynced(10)
    await ledger.attempts.stale(NOW, 10)
    await ledger.outbox.due(NOW, 10)
    await ledger.audits.begin(sale, "me", AuditRun(NOW, 0), NOW)
    await ledger.audits.under_way(sale, NOW)
    await shop.trail.entries(None, 10, subject=f"sale:{sale}")
    await ledger.sales.settle(sale, "clean", NOW)


# SQLite


@pytest.fixture
async def plans(file_shop: Shop, database_path: Path) -> AsyncIterator[dict[str, list[str]]]:
    seen: dict[str, Any] = {}

    def remember(
        _c: Any, _cursor: Any, statement: str, parameters: Any, _x: Any, many: bool
    ) -> None:
        if statement.split()[0] in ("SELECT", "UPDATE", "DELETE"):
            seen.setdefault(statement, parameters[0] if many else parameters)

    event.listen(Engine, "before_cursor_execute", remember)
    try:
        await _whole_sale(file_shop)
        sale = await file_shop.sale()
        await file_shop.grant(sale, 21)
        await ask_about(file_shop, sale)
    finally:
        event.remove(Engine, "before_cursor_execute", remember)
    with sqlite3.connect(database_path) as connection:
        yield {
            statement: [
                row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", said)
            ]
            for statement, said in seen.items()
        }
    connection.close()


async def test_no_statement_of_a_sale_goes_through_a_whole_table(
    plans: dict[str, list[str]],
) -> None:
    assert len(plans) > 70
    bad = {
        statement: plan
        for statement, plan in plans.items()
        if any(step == f"SCAN {table}" for step in plan for table in HISTORY)
        and "ORDER BY audit.id DESC" not in statement  # in its order, and only the newest
    }
    assert bad == {}


@pytest.mark.parametrize(
    ("part", "wanted"),
    [
        ("FROM holds WHERE holds.sale_id = ? AND holds.rid > ?", "(sale_id=? AND rid>?)"),
        ("FROM orders WHERE orders.sale_id = ? AND orders.rid > ?", "(sale_id=? AND rid>?)"),
        ("FROM payments WHERE payments.sale_id = ? AND payments.rid > ?", "(sale_id=? AND rid>?)"),
        ("FROM outbox WHERE outbox.sale_id = ? AND outbox.rid > ?", "(sale_id=? AND rid>?)"),
        ("count(*) AS count_1 FROM holds WHERE holds.sale_id = ? GROUP BY", "COVERING INDEX"),
        ("UPDATE sales SET phase=?, verdict=?", "(sale_id=? AND state=?)"),
        ("UPDATE sales SET phase=?, verdict=?", "(synced=? AND state=?)"),
        ("holds.sale_id + ? = ?", "(synced=? AND state=?)"),
        ("FROM outbox WHERE outbox.state = ? AND outbox.next_at_ms <", "AND next_at_ms<?)"),
        ("FROM outbox WHERE outbox.state = ? AND outbox.next_at_ms >", "AND next_at_ms>?)"),
        ("FROM holds WHERE holds.sale_id = ? AND holds.user_id >= ?", "(sale_id=? AND user_id>?)"),
        ("orders.created_at_ms <= ?", "AND created_at_ms<?)"),
        ("FROM audit WHERE audit.subject = ?", "(subject=?)"),
    ],
)
async def test_what_must_be_found_by_an_index_is(
    plans: dict[str, list[str]], part: str, wanted: str
) -> None:
    found = [plan for statement, plan in plans.items() if part in " ".join(statement.split())]
    assert found
    for plan in found:
        assert any(wanted in step for step in plan), plan
        assert "USE TEMP B-TREE FOR ORDER BY" not in plan, "all would be read for the first few"


# servers


async def _write_history(database: Database, sale_id: int) -> None:
    """Of a sale long over: in slices, each well within the time of a transaction."""
    for start in range(0, OLD, SLICE):
        for table, row in _old_row(sale_id).items():
            rows = [row(number) for number in range(start, start + SLICE)]
            await database.write(partial(_insert, table, rows))


def _insert(table: Table, rows: list[dict[str, Any]], connection: Connection) -> None:
    connection.execute(insert(table), rows)


def _old_row(sale_id: int) -> dict[Table, Callable[[int], dict[str, Any]]]:
    """What makes the nth row of each table."""
    of = {"sale_id": sale_id, "attempt": 1, "amount": 1, "currency": "USD", "created_at_ms": 1}
    hold = {"sale_id": sale_id, "grant_id": "g", "state": "PAID", "attempt": 1, "pay_by_ms": 1}
    hold |= {"promoted": False, "extended": False, "synced": True, "version": 1, "created_at_ms": 1}
    mail = {"event": "won", "sale_id": sale_id, "state": "sent", "attempts": 0}
    mail |= {"next_at_ms": 1, "created_at_ms": 1}
    person = {"name": "", "role": "buyer", "password_hash": "", "created_at_ms": 1}
    payment = {"state": "captured", "name": "", "phone": "", "address": "", "changed_at_ms": 1}

    def by(number: int) -> dict[str, Any]:
        return {"rid": f"old-{number:06}.0", "user_id": 1_000_000 + number}

    return {
        users: lambda n: {"id": by(n)["user_id"], "email": f"{n}@old.test", **person},
        holds: lambda n: {**by(n), "live_user": by(n)["user_id"], "rank": n, **hold},
        payments: lambda n: {**by(n), "captured_rid": by(n)["rid"], **payment, **of},
        orders: lambda n: {
            **by(n),
            "id": f"order-{n}",
            "order_no": f"N-{n}",
            "state": "paid",
            **of,
        },
        outbox: lambda n: {**by(n), "dedupe_key": f"won:{by(n)['rid']}", **mail},
    }


def _statistics(connection: Connection) -> None:
    for table in (users, sales, holds, payments, orders, outbox):
        words = "ANALYZE" if connection.dialect.name == "postgresql" else "ANALYZE TABLE"
        connection.execute(text(f"{words} {table.name}"))


@pytest.mark.servers
async def test_beside_a_long_history_a_sale_is_found_by_its_indexes(
    server_database: Database,
) -> None:
    shop = Shop(server_database)
    old, sale = await shop.sale(stock=OLD), await shop.sale()
    await _write_history(server_database, old)
    await server_database.write(_statistics)
    await shop.grant(sale, 1, 2, 3)
    await shop.pay(1)
    seen: list[Run] = []

    def remember(_c: Any, statement: Any, many: Any, params: Any, _options: Any) -> None:
        if isinstance(statement, Select) and not many:
            seen.append((statement, params))

    event.listen(Engine, "before_execute", remember)
    try:
        await ask_about(shop, sale)
    finally:
        event.remove(Engine, "before_execute", remember)
    assert len(seen) > 40
    explain = await server_database.write(lambda c: _explained(c, seen))
    assert {statement: plan for statement, plan in explain.items() if _scans(plan)} == {}


def _explained(connection: Connection, seen: list[Run]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for statement, params in seen:
        bound = statement.params(params) if params else statement
        said = str(bound.compile(connection, compile_kwargs={"literal_binds": True}))
        rows = connection.exec_driver_sql(f"EXPLAIN {said}".replace("%", "%%")).mappings()
        found[said] = [str(dict(row)) for row in rows]
    return found


def _scans(plan: list[str]) -> bool:
    """A whole table that has a history is read (PostgreSQL; MariaDB: type ALL or index)."""
    scan: Callable[[str], bool] = lambda step: any(  # noqa: E731
        f"Seq Scan on {table}" in step
        or (
            f"'table': '{table}'" in step and ("'type': 'ALL'" in step or "'type': 'index'" in step)
        )
        for table in HISTORY
    )
    return any(map(scan, plan))
