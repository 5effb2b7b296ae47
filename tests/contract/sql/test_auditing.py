"""The ledger as an audit reads it: every row once, in pages that hold all of a rid's rows."""

import pytest
from sqlalchemy import Connection, insert

from miaosha.adapters.sql import auditing
from miaosha.adapters.sql.auditing import SqlLedgerReader
from miaosha.adapters.sql.tables import outbox
from miaosha.ports.auditing import LedgerPage
from tests.contract.sql.shop import NOW, Shop, winner

PAGE = 4
ROWS = 6


@pytest.fixture
def reader(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> SqlLedgerReader:
    monkeypatch.setattr(auditing, "PAGE", PAGE)
    monkeypatch.setattr(auditing, "ROWS_MAX", ROWS)
    return SqlLedgerReader(shop.db)


async def pages(reader: SqlLedgerReader, sale: int) -> list[LedgerPage]:
    found = [await reader.page(sale, "")]
    while (last := found[-1].last) is not None:
        found.append(await reader.page(sale, last))
        assert len(found) < 100, "no end"
    return found


async def strays(shop: Shop, sale: int, rids: list[str]) -> None:
    """Mails about nobody."""

    def unit(connection: Connection) -> None:
        row = {"event": "won", "user_id": 1, "sale_id": sale, "state": "new", "attempts": 0}
        row |= {"next_at_ms": NOW, "created_at_ms": NOW}
        rows = [{**row, "rid": rid, "dedupe_key": f"stray:{n}"} for n, rid in enumerate(rids)]
        connection.execute(insert(outbox), rows)

    await shop.db.write(unit)


async def held(shop: Shop, count: int) -> int:
    """A sale whose holds are batch.100, batch.101 …; those of even numbers are paid."""
    sale = await shop.sale(stock=count)
    users = range(100, 100 + count)
    await shop.grant(sale, *users)
    for user in users:
        if user % 2 == 0:
            await shop.pay(user)
    return sale


async def test_every_row_comes_once_and_with_all_others_of_its_rid(
    shop: Shop, reader: SqlLedgerReader
) -> None:
    other, sale = await shop.sale(), await held(shop, 11)
    await shop.ledger.holds.grant(other, 1, [winner(1, rid="batch.105x")], NOW)
    found = await pages(reader, sale)
    assert len(found) >= 3
    assert [len(page.holds) <= PAGE for page in found] == [True] * len(found)
    assert [hold.rid for page in found for hold in page.holds] == [
        f"batch.{user}" for user in range(100, 111)
    ]
    for page in found:
        paid = sorted(hold.rid for hold in page.holds if hold.state == "PAID")
        assert sorted(order.rid for order in page.orders) == paid
        assert sorted(payment.rid for payment in page.payments) == paid
        mails = sorted([hold.rid for hold in page.holds] + paid)
        assert sorted(mail.rid for mail in page.mails) == mails


@pytest.mark.parametrize("where", ["batch.0", "batch.104x", "batch.999"])
async def test_rows_about_no_hold_are_read_wherever_they_stand(
    shop: Shop, reader: SqlLedgerReader, where: str
) -> None:
    sale = await held(shop, 9)
    await strays(shop, sale, [f"{where}.{number:02}" for number in range(3 * ROWS)])
    found = await pages(reader, sale)
    assert sorted(m.rid for page in found for m in page.mails if m.rid.startswith(f"{where}.")) == [
        f"{where}.{number:02}" for number in range(3 * ROWS)
    ]
    assert sum(len(page.holds) for page in found) == 9
    assert max(len(page.mails) for page in found) <= ROWS


async def test_one_rid_with_more_rows_than_a_page_takes_ends_no_audit(
    shop: Shop, reader: SqlLedgerReader
) -> None:
    sale = await held(shop, 5)
    await strays(shop, sale, ["batch.102"] * 20)
    found = await pages(reader, sale)
    assert [hold.rid for page in found for hold in page.holds] == [
        f"batch.{user}" for user in range(100, 105)
    ]
    [page] = [page for page in found if any(hold.rid == "batch.102" for hold in page.holds)]
    assert sum(mail.rid == "batch.102" for mail in page.mails) > 1, "too many, and it shows"
    assert {mail.rid for page in found for mail in page.mails} >= {"batch.103", "batch.104"}


async def test_the_newest_holds_are_found_from_the_end(shop: Shop, reader: SqlLedgerReader) -> None:
    sale = await held(shop, 9)
    assert await reader.before_newest(sale, 3) == "batch.105"
    assert await reader.before_newest(sale, 8) == "batch.100"
    assert await reader.before_newest(sale, 9) == ""
    assert await reader.before_newest(99, 1) == ""


async def test_named_rows_are_those_of_the_sale(shop: Shop, reader: SqlLedgerReader) -> None:
    other, sale = await shop.sale(), await held(shop, 3)
    await shop.ledger.holds.grant(other, 1, [winner(1)], NOW)
    page = await reader.about(sale, {"batch.100", "batch.101", "batch.1", "nobody"})
    assert sorted(hold.rid for hold in page.holds) == ["batch.100", "batch.101"]
    assert [order.rid for order in page.orders] == ["batch.100"]
    assert sorted(mail.rid for mail in page.mails) == ["batch.100", "batch.100", "batch.101"]
    assert set(await reader.holds(sale, {"batch.1", "batch.102"})) == {"batch.102"}
    assert await reader.live_holds(sale, {1, 100, 101}) == {100: 1, 101: 1}


async def test_the_totals_are_of_one_instant(shop: Shop, reader: SqlLedgerReader) -> None:
    sale = await held(shop, 5)
    await shop.ledger.holds.release(sale, ["batch.101"], "declined", NOW)
    totals = await reader.totals(sale)
    assert totals is not None
    assert totals.states == {"PAID": 3, "HELD": 1, "RELEASED": 1}
    assert (totals.ledger.granted, totals.ledger.sold, totals.unsynced) == (4, 3, 4)
    assert await reader.totals(99) is None
