"""Every statement also compiles for MariaDB/MySQL and PostgreSQL."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Dialect, make_url
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql import ClauseElement

from miaosha.adapters.sql.inserts import ignoring_insert
from miaosha.adapters.sql.tables import holds, metadata
from miaosha.domain.reservation import HoldState
from miaosha.domain.sale import Phase
from miaosha.ports.rebuilding import HoldBounds
from tests.contract.sql.shop import NOW, Shop, draft

DIALECTS: dict[str, Dialect] = {
    name: make_url(f"{name}://").get_dialect()() for name in ("sqlite", "mysql", "postgresql")
}


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    return DIALECTS[request.param]


def test_the_schema_compiles(dialect: Dialect) -> None:
    for table in metadata.sorted_tables:
        assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=dialect))
        for index in table.indexes:
            assert "CREATE INDEX" in str(CreateIndex(index).compile(dialect=dialect))


def test_each_dialect_has_its_ignoring_insert(dialect: Dialect) -> None:
    words = {"mysql": "INSERT IGNORE"}.get(dialect.name, "ON CONFLICT DO NOTHING")
    assert words in str(ignoring_insert(holds, dialect.name).compile(dialect=dialect))


def test_every_constraint_has_a_name_that_fits() -> None:
    for table in metadata.sorted_tables:
        names = [c.name for c in table.constraints] + [i.name for i in table.indexes]
        assert None not in names
        assert max(len(str(name)) for name in names) <= 63  # PostgreSQL's limit; MySQL's is 64


async def test_every_statement_of_a_sale_compiles_everywhere(file_shop: Shop) -> None:
    seen: list[ClauseElement] = []

    def remember(_connection: Any, statement: Any, *_: Any) -> None:
        if isinstance(statement, ClauseElement) and not isinstance(statement, sqlite.Insert):
            seen.append(statement)

    event.listen(Engine, "before_execute", remember)
    try:
        await _whole_sale(file_shop)
    finally:
        event.remove(Engine, "before_execute", remember)
    assert len(seen) > 80
    for dialect in DIALECTS.values():
        texts = [str(statement.compile(dialect=dialect)) for statement in seen]
        assert all("RETURNING" not in text for text in texts if text.startswith("UPDATE"))
        assert any("FOR UPDATE" in text for text in texts) == (dialect.name != "sqlite")


async def _rebuilt(shop: Shop, sale: int) -> None:
    await shop.ledger.holds.page(sale, (0, ""))
    await shop.ledger.rebuilds.bring_within(sale, ["batch.1"], HoldBounds(NOW, NOW, NOW, NOW))
    await shop.ledger.rebuilds.buyers(sale, [1, 2])


async def _whole_sale(shop: Shop) -> None:
    ledger = shop.ledger
    sale = await shop.sale()
    product = await shop.product()
    await shop.catalogue.update_sale(sale, draft(product.id))
    await shop.catalogue.delete_product(product.id)
    await shop.catalogue.live()
    await shop.catalogue.settled(5, NOW)
    await shop.catalogue.sales(f"{NOW}.7", 5)
    await shop.catalogue.products(7, 5)
    await ledger.sales.live_ids()
    await ledger.sales.settled_epochs(5)
    await ledger.sales.publish(sale, 5)
    await shop.grant(sale, 1, 2, 3)
    await shop.begin(1)
    await ledger.attempts.refuse("batch.1", 1, NOW)
    await shop.pay(1)
    await shop.begin(3)
    await ledger.attempts.refuse("batch.3", 1, NOW + 10**9)
    await ledger.attempts.mark_refunded("batch.3:1", NOW)
    await ledger.holds.extend("batch.2", 2, 1, 5, NOW)
    await ledger.holds.due(NOW, 10)
    await ledger.holds.release(sale, ["batch.2"], "expired", NOW + 10**9)
    await ledger.holds.unsynced(10)
    await _rebuilt(shop, sale)
    for state in (HoldState.PAID, HoldState.RELEASED):
        await ledger.holds.mark_synced(["batch.1", "batch.2", "batch.3"], state)
    await ledger.sales.raise_stock(sale, 12, NOW)
    await ledger.sales.lower_stock(sale, 11)
    await ledger.sales.set_phase(sale, Phase.SCHEDULED, Phase.PAUSED)
    await ledger.sales.freeze(sale, 2, "a test")
    await ledger.audits.freeze_suspect(sale, 3, "a test", await ledger.audits.suspects(sale))
    await ledger.audits.forget_suspects(sale)
    await ledger.sales.live()
    await ledger.attempts.stale(NOW, 10)
    await ledger.orders.page(1, f"{NOW}.x", 10, sale_id=sale)
    for item in await ledger.outbox.due(NOW + 10**9, 10):
        await ledger.outbox.item(item.id)
        await ledger.outbox.mark_failed(item.id, NOW, NOW, "away")
        await ledger.outbox.mark_queued([item.id], NOW)
        await ledger.outbox.mark_sent(item.id, NOW)
    await ledger.leases.take("sweep", "me", NOW, None)
    await ledger.leases.free("sweep", "me")
    await ledger.leases.drop("sweep", "me")
    await ledger.rebuilds.unfreeze(sale, 4)
    await ledger.sales.close(sale, NOW)
    assert await ledger.sales.settle(sale, "clean", NOW)
    await shop.accounts.create_many([("a@example.org", "A")], NOW)
    await shop.trail.append(NOW, "cli", "sale.close", f"sale:{sale}", {})
    await shop.trail.entries(5, 10)


def test_sql_is_written_in_one_place() -> None:
    """No file outside adapters imports SQLAlchemy."""
    source = Path(__file__).parents[3] / "src" / "miaosha"
    strays = [
        path.name
        for path in source.rglob("*.py")
        if "adapters" not in path.parts and "import sqlalchemy" in path.read_text()
    ]
    assert strays == []
