"""Everybody's orders, by admins: pages, the delivery address of one, and a CSV of all."""

import csv
import io
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from litestar.params import FromPath
from litestar.response import Stream

from miaosha.api.admin_schemas import (
    AdminOrderList,
    AdminOrdersQuery,
    DeliveryView,
    OrderFilter,
)
from miaosha.api.auth import actor
from miaosha.api.declare import Req, Who, operation, read_query
from miaosha.api.desk import desk_of
from miaosha.domain.errors import Problem
from miaosha.domain.money import MINOR_DIGITS
from miaosha.ports.office import Found, Office, OrderSearch, SentOrder

TAG = "Admin: orders"
CSV_PAGE: Final = 500  # orders read at a time
CSV_ROWS_MAX: Final = 1_000_000
HEADER: Final = (
    "\ufeff"  # a spreadsheet then reads UTF-8
    "order_no,id,rid,sale_id,sale,user_id,email,state,amount,currency,created_at,"
    "name,phone,address\r\n"
)
# Where a spreadsheet may see the beginning of a cell: also after a line's end or a semicolon, which
# parts cells where the comma is for decimals. The wide signs count as the narrow ones in East Asia.
FORMULA: Final = re.compile(r"(?:^|(?<=[;\t\r\n]))(?=[^\S\t\r\n]*[=+\-@＝＋－＠\t\r\n])")


@operation(
    "GET",
    "/admin/orders",
    who=Who.ADMIN,
    tag=TAG,
    summary="Orders",
    answer=AdminOrderList,
    query=AdminOrdersQuery,
)
async def list_all_orders(request: Req) -> AdminOrderList:
    """Newest first; every filter narrows it."""
    asked = read_query(request, AdminOrdersQuery)
    office = desk_of(request).parts.office
    return AdminOrderList(*await office.orders(_search(asked), asked.cursor, asked.limit))


def _search(asked: OrderFilter) -> OrderSearch:
    return OrderSearch(
        text=asked.q.strip(),
        sale_id=asked.sale_id,
        user_id=asked.user_id,
        state=asked.state,
        from_ms=asked.from_ms,
        until_ms=asked.until_ms,
    )


@operation(
    "GET",
    "/admin/orders/{order_id:str}/delivery",
    who=Who.ADMIN,
    tag=TAG,
    summary="Where an order goes",
    answer=DeliveryView,
)
async def get_delivery(request: Req, order_id: FromPath[str]) -> DeliveryView:
    """Personal data: that it was looked at is in the trail."""
    parts = desk_of(request).parts
    try:
        known = str(UUID(order_id))
    except ValueError:
        raise Problem("not_found") from None
    delivery = await parts.ledger.delivery_of(known)
    if delivery is None:
        raise Problem("not_found")
    now = parts.clock.now_ms()
    await parts.trail.append(now, actor(request), "order.delivery", f"order:{known}", {})
    return DeliveryView(delivery.name, delivery.phone, delivery.address)


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
    the currency. Cells that a spreadsheet would run as a formula begin with an apostrophe."""
    asked = read_query(request, OrderFilter)
    parts = desk_of(request).parts
    search = _search(asked)
    first = await parts.office.orders(search, None, CSV_PAGE)
    subject = f"sale:{asked.sale_id}" if asked.sale_id else "orders"
    await parts.trail.append(parts.clock.now_ms(), actor(request), "orders.csv", subject, {})
    return Stream(
        _rows(parts.office, search, first),
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": 'attachment; filename="orders.csv"'},
    )


async def _rows(office: Office, search: OrderSearch, page: Found) -> AsyncIterator[str]:
    yield HEADER
    rows = 0
    while True:
        yield "".join([_line(_cells(sent)) for sent in await office.sent(page.items)])
        rows += len(page.items)
        if page.next_cursor is None or rows >= CSV_ROWS_MAX:
            return
        page = await office.orders(search, page.next_cursor, CSV_PAGE)


def _cells(sent: SentOrder) -> list[str]:
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
    digits = MINOR_DIGITS.get(currency, 2)
    whole, rest = divmod(amount, 10**digits)
    return f"{whole}.{rest:0{digits}d}" if digits else str(whole)


def _line(cells: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow([safe_cell(cell) for cell in cells])
    return text.getvalue()


def safe_cell(cell: str) -> str:
    """A cell no spreadsheet takes for a formula."""
    return FORMULA.sub("'", cell)


ROUTES = [list_all_orders, get_delivery, orders_csv]
