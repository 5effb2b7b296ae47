"""Orders as a file: what was typed stays as it was typed, and nothing in it runs."""

import asyncio
import csv
import io
import time
from typing import Any

import openpyxl
import pytest

from miaosha.api import admin_exports
from miaosha.api.admin_exports import COLUMNS, XLSX, line_of, safe_cell
from miaosha.ports.backoffice import Found, FoundOrder, OrderSearch, SentOrder
from tests.api.test_admin import bought, trail
from tests.api.world import Person, World

PHONES = ["0912345678", "+886912345678", "+886-912-345-678", "(02) 2345 6789 #12", "00", "-1"]


def row_of(**cells: str) -> dict[str, str]:
    """What Python's csv reads of a line with these cells."""
    line = line_of([cells.get(name, "") for name in COLUMNS])
    [read] = csv.reader(io.StringIO(line))
    return dict(zip(COLUMNS, read, strict=True))


@pytest.mark.parametrize("phone", PHONES)
def test_a_phone_is_in_the_csv_as_it_was_typed(phone: str) -> None:
    assert row_of(phone=phone)["phone"] == phone


@pytest.mark.parametrize("order_no", ["0012345", "12E5", "00A1"])
def test_an_order_number_keeps_its_zeros(order_no: str) -> None:
    assert row_of(order_no=order_no)["order_no"] == order_no


@pytest.mark.parametrize("phone", ['=HYPERLINK("x")', "@SUM(1)", "+A1", "-cmd|' /C calc'!A0"])
def test_what_is_no_phone_is_defused_there_too(phone: str) -> None:
    assert row_of(phone=phone)["phone"] == f"'{phone}"


@pytest.mark.parametrize("cell", ["=1", "+1", "-1", "@x", "\tx", "\rx", "  =1", "\u3000=1", "＝1"])
@pytest.mark.parametrize("column", ["sale", "email", "name", "address"])
def test_texts_that_would_run_are_defused(column: str, cell: str) -> None:
    assert row_of(**{column: cell})[column] == f"'{cell}"


@pytest.mark.parametrize(
    ("cell", "safe"),
    [
        ("1 Main Street\n=1+1", "1 Main Street\n'=1+1"),  # a line of its own to some
        ("Flat 3; =1+1;-2", "Flat 3;' =1+1;'-2"),  # cells of their own where ; parts them
        ("\n=1", "'\n'=1"),
    ],
)
def test_cells_that_would_run_in_their_middle(cell: str, safe: str) -> None:
    assert safe_cell(cell) == safe


def test_texts_that_would_not_run_stay() -> None:
    assert [safe_cell(c) for c in ("", "1", "a=b", "A; b-c")] == ["", "1", "a=b", "A; b-c"]


async def test_the_csv_of_a_sale(world: World, admin: Person, buyer: Person) -> None:
    order = await bought(world, admin, buyer, name='=HYPERLINK("http://evil.test")')
    answer = await world.http.get(
        f"/api/v1/admin/orders.csv?sale_id={order['sale_id']}", headers=admin.auth
    )
    assert answer.headers["content-type"].startswith("text/csv")
    assert "attachment" in answer.headers["content-disposition"]
    assert answer.content.startswith("\ufeff".encode())  # a spreadsheet then reads UTF-8
    [row] = csv.DictReader(io.StringIO(answer.text.lstrip("\ufeff")))
    assert tuple(row) == COLUMNS
    assert (row["amount"], row["currency"], row["email"]) == ("49.00", "EUR", buyer.email)
    assert row["order_no"] == order["order_no"]
    assert row["name"] == '\'=HYPERLINK("http://evil.test")'
    assert row["phone"] == "+49 30 123456"
    assert row["address"] == "1 Main Street\nBerlin"
    assert (await trail(world, admin))[0]["action"] == "orders.csv"


async def workbook(world: World, admin: Person, query: str) -> Any:
    answer = await world.http.get(f"/api/v1/admin/orders.xlsx?{query}", headers=admin.auth)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == XLSX
    book = openpyxl.load_workbook(io.BytesIO(answer.content))
    return [list(row) for row in book["orders"].iter_rows()]


async def test_a_spreadsheet_shows_what_was_typed_and_runs_nothing(
    world: World, admin: Person, buyer: Person
) -> None:
    sale_id = await world.sale(admin)
    await world.hold(sale_id, buyer)
    body = await world.checkout_body(sale_id, buyer) | {"phone": "0912345678", "name": "=1+1"}
    made = await world.http.post(f"/api/v1/sales/{sale_id}/checkout", json=body, headers=buyer.auth)
    head, row = await workbook(world, admin, f"sale_id={sale_id}")
    assert [cell.value for cell in head] == list(COLUMNS)
    cells = dict(zip(COLUMNS, row, strict=True))
    assert cells["phone"].value == "0912345678"
    assert cells["name"].value == "=1+1"
    assert cells["order_no"].value == made.json()["order_no"]
    kinds = {name: cell.data_type for name, cell in cells.items()}
    assert kinds.pop("amount") == "n" and cells["amount"].value == 49
    assert set(kinds.values()) == {"s"}  # no formula, no number
    assert (await trail(world, admin))[0]["action"] == "orders.xlsx"


async def test_a_spreadsheet_has_a_limit_and_pages_do_not_show(
    world: World, admin: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    buyers = [await world.person() for _ in range(3)]
    sale_id = await world.sale(admin, stock=3)
    for buyer in buyers:
        await world.hold(sale_id, buyer)
        body = await world.checkout_body(sale_id, buyer)
        await world.http.post(f"/api/v1/sales/{sale_id}/checkout", json=body, headers=buyer.auth)
    monkeypatch.setattr(admin_exports, "PAGE", 2)
    assert len(await workbook(world, admin, f"sale_id={sale_id}")) == 4
    monkeypatch.setattr(admin_exports, "XLSX_ROWS_MAX", 2)
    refused = await world.http.get(
        f"/api/v1/admin/orders.xlsx?sale_id={sale_id}", headers=admin.auth
    )
    assert (refused.status_code, refused.json()["code"]) == (413, "too_large")


class OnePage:
    """A back office whose every order goes to a long address that has to be defused."""

    def __init__(self, orders: int) -> None:
        order = FoundOrder("i" * 36, "A1", "r", 1, 2, "paid", 1, "EUR", 1, "t" * 200, "e", "n")
        self.items = [SentOrder(order, "n" * 120, "0912", "; \t" * 166)] * orders

    async def sent(self, orders: Any) -> list[SentOrder]:
        return self.items


async def test_the_event_loop_goes_on_while_lines_are_written() -> None:
    backoffice: Any = OnePage(2_000)

    async def export() -> int:
        pages = admin_exports._lines(backoffice, OrderSearch(), Found([], None))
        return len([page async for page in pages])

    began = time.perf_counter()
    exporting = asyncio.create_task(export())
    waits = []
    while not exporting.done():
        asked = time.perf_counter()
        await asyncio.sleep(0.001)
        waits.append(time.perf_counter() - asked)
    assert await exporting == 2
    assert max(waits) < (time.perf_counter() - began) / 3
