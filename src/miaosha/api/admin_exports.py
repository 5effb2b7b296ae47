"""Order exports: CSV for programs, a workbook for people with a spreadsheet.

CSV has no types: a spreadsheet takes `0912…` for a number and drops the zero. No sign before it
would keep the text as it was typed. So phones and numbers are exact in CSV, and the workbook's
cells are texts.
"""

import asyncio
import csv
import io
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from litestar import Response
from litestar.response import Stream

from miaosha.api.admin_orders import search_of
from miaosha.api.admin_schemas import OrderFilter
from miaosha.api.auth import actor
from miaosha.api.context import ApiContext, context_of
from miaosha.api.declare import Req, Who, operation, read_query
from miaosha.domain.errors import Problem
from miaosha.domain.money import minor_digits
from miaosha.ports.backoffice import Backoffice, Found, OrderSearch, SentOrder

if TYPE_CHECKING:
    from xlsxwriter.workbook import Workbook
    from xlsxwriter.worksheet import Worksheet

TAG = "Admin: orders"
PAGE: Final = 500  # orders read at a time
CSV_ROWS_MAX: Final = 1_000_000
XLSX_ROWS_MAX: Final = 20_000  # 17 MB of temporary file
XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
COLUMNS: Final = (
    "order_no",
    "id",
    "rid",
    "sale_id",
    "sale",
    "user_id",
    "email",
    "state",
    "amount",
    "currency",
    "created_at",
    "name",
    "phone",
    "address",
)
BYTE_ORDER_MARK: Final = "\ufeff"  # a spreadsheet then reads UTF-8
# What people write freely. The rest is ours, or a phone: digits and its signs call no function.
_FREE: Final = frozenset(COLUMNS.index(name) for name in ("sale", "email", "name", "address"))
_PHONE: Final = re.compile(r"[0-9+()./# -]*")
# Where a spreadsheet may see the beginning of a cell: also after a line's end or a semicolon, which
# parts cells where the comma is for decimals. The wide signs count as the narrow ones in East Asia.
FORMULA: Final = re.compile(r"(?:^|(?<=[;\t\r\n]))(?=[^\S\t\r\n]*[=+\-@＝＋－＠\t\r\n])")


@operation(
    "GET",
    "/admin/orders.csv",
    who=Who.ADMIN,
    tag=TAG,
    summary="Orders as CSV",
    answer=str,
    gives="text/csv",
    query=OrderFilter,
)
async def orders_csv(request: Req) -> Stream:
    """The orders the same filters list, newest first, with delivery addresses; amounts in units of
    the currency. Phones and numbers are as they were typed. Names, addresses, titles and e-mails
    that a spreadsheet would run as a formula begin with an apostrophe."""
    search, first = await _begin(request, "orders.csv")
    return Stream(
        _lines(context_of(request).parts.backoffice, search, first),
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": 'attachment; filename="orders.csv"'},
    )


@operation(
    "GET",
    "/admin/orders.xlsx",
    who=Who.ADMIN,
    tag=TAG,
    summary="Orders as a spreadsheet",
    answer=bytes,
    gives=XLSX,
    query=OrderFilter,
    codes=("too_large",),
)
async def orders_xlsx(request: Req) -> Response[bytes]:
    """The same columns, at most 20,000 orders (else 413: narrow the filters, or take the CSV).
    Every cell but the amount is a text, so that a spreadsheet changes and runs nothing."""
    context = context_of(request)
    with context.workbooks_at_once.one("all"):
        content = await _workbook(context, *await _begin(request, "orders.xlsx"))
    headers = {"content-disposition": 'attachment; filename="orders.xlsx"'}
    return Response(content, media_type=XLSX, headers=headers)


async def _begin(request: Req, name: str) -> tuple[OrderSearch, Found]:
    """The search and its first page; that it was exported is in the trail."""
    asked = read_query(request, OrderFilter)
    parts = context_of(request).parts
    search = search_of(asked)
    first = await parts.backoffice.orders(search, None, PAGE)
    subject = f"sale:{asked.sale_id}" if asked.sale_id else "orders"
    await parts.trail.append(parts.clock.now_ms(), actor(request), name, subject, {})
    return search, first


async def _pages(
    backoffice: Backoffice, search: OrderSearch, page: Found
) -> AsyncIterator[list[SentOrder]]:
    while True:
        yield await backoffice.sent(page.items)
        if page.next_cursor is None:
            return
        page = await backoffice.orders(search, page.next_cursor, PAGE)


async def _lines(backoffice: Backoffice, search: OrderSearch, first: Found) -> AsyncIterator[str]:
    yield BYTE_ORDER_MARK + ",".join(COLUMNS) + "\r\n"
    rows = 0
    async for orders in _pages(backoffice, search, first):
        yield await asyncio.to_thread(_lines_of, orders)  # 40 ms of long addresses
        rows += len(orders)
        if rows >= CSV_ROWS_MAX:
            return


def _lines_of(orders: list[SentOrder]) -> str:
    return "".join([line_of(cells_of(sent)) for sent in orders])


async def _workbook(context: ApiContext, search: OrderSearch, first: Found) -> bytes:
    """Raises Problem("too_large"). The writing is a thread's: a page takes it 50 ms."""
    content, rows = io.BytesIO(), 0
    book = await asyncio.to_thread(_new_book, content)
    sheet = book.add_worksheet("orders")
    try:
        _write_row(sheet, 0, list(COLUMNS))
        async for orders in _pages(context.parts.backoffice, search, first):
            if rows + len(orders) > XLSX_ROWS_MAX:
                raise Problem("too_large", f"A spreadsheet has at most {XLSX_ROWS_MAX} orders.")
            await asyncio.to_thread(_write_page, sheet, rows + 1, orders)
            rows += len(orders)
    finally:
        await asyncio.to_thread(book.close)  # which deletes its temporary files
    return content.getvalue()


def _new_book(content: io.BytesIO) -> "Workbook":
    import xlsxwriter  # 20 MB and a fifth of a second, which few processes ever need

    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    return xlsxwriter.Workbook(content, options)


def _write_page(sheet: "Worksheet", row: int, orders: list[SentOrder]) -> None:
    for offset, sent in enumerate(orders):
        _write_row(sheet, row + offset, cells_of(sent))


def _write_row(sheet: "Worksheet", row: int, cells: list[str]) -> None:
    for column, cell in enumerate(cells):
        if row and COLUMNS[column] == "amount":
            sheet.write_number(row, column, float(cell))
        else:
            sheet.write_string(row, column, cell)


def cells_of(sent: SentOrder) -> list[str]:
    """As COLUMNS has them."""
    order = sent.order
    created = datetime.fromtimestamp(order.created_at_ms / 1000, UTC).isoformat(timespec="seconds")
    return [
        order.order_no,
        order.id,
        order.rid,
        str(order.sale_id),
        order.sale_title,
        str(order.user_id),
        order.email,
        order.state,
        _decimal(order.amount, order.currency),
        order.currency,
        created,
        sent.to_name,
        sent.phone,
        sent.address,
    ]


def _decimal(amount: int, currency: str) -> str:
    """Minor units as a number a spreadsheet can add."""
    digits = minor_digits(currency)
    whole, rest = divmod(amount, 10**digits)
    return f"{whole}.{rest:0{digits}d}" if digits else str(whole)


def line_of(cells: list[str]) -> str:
    """One line of CSV; no cell of it is taken for a formula that does anything."""
    safe = [
        safe_cell(cell) if at in _FREE or not _PHONE.fullmatch(cell) else cell
        for at, cell in enumerate(cells)
    ]
    text = io.StringIO()
    csv.writer(text).writerow(safe)
    return text.getvalue()


def safe_cell(cell: str) -> str:
    """A text no spreadsheet takes for a formula."""
    return FORMULA.sub("'", cell)


ROUTES = [orders_csv, orders_xlsx]
