"""Everybody's orders, by admins: pages, the delivery address of one, and a CSV of all."""

import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from litestar.params import FromPath
from litestar.response import Stream

from miaosha.api.admin_schemas import (
    AdminOrder,
    AdminOrderList,
    AdminOrdersQuery,
    CsvQuery,
    DeliveryView,
)
from miaosha.api.auth import actor
from miaosha.api.declare import Req, Who, operation, read_query
from miaosha.api.desk import desk_of
from miaosha.domain.errors import Problem
from miaosha.ports.ledger import Delivery, Ledger, Order, OrderPage

TAG = "Admin: orders"
CSV_PAGE: Final = 50  # orders read at a time
CSV_ROWS_MAX: Final = 1_000_000
HEADER: Final = (
    "order_no,id,rid,sale_id,user_id,state,amount,currency,created_at,name,phone,address\r\n"
)
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


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
    """Newest first, of one sale with `sale_id`."""
    asked = read_query(request, AdminOrdersQuery)
    page = await desk_of(request).parts.ledger.orders(
        None, asked.cursor, asked.limit, sale_id=asked.sale_id
    )
    return AdminOrderList([_view(order) for order in page.items], page.next_cursor)


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
    query=CsvQuery,
)
async def orders_csv(request: Req) -> Stream:
    """With delivery addresses, newest first. Cells that a spreadsheet would run as a formula begin
    with an apostrophe."""
    asked = read_query(request, CsvQuery)
    parts = desk_of(request).parts
    first = await parts.ledger.orders(None, None, CSV_PAGE, sale_id=asked.sale_id)
    subject = f"sale:{asked.sale_id}" if asked.sale_id else "orders"
    await parts.trail.append(parts.clock.now_ms(), actor(request), "orders.csv", subject, {})
    return Stream(
        _rows(parts.ledger, first, asked.sale_id),
        media_type="text/csv",
        headers={"content-disposition": 'attachment; filename="orders.csv"'},
    )


async def _rows(ledger: Ledger, page: OrderPage, sale_id: int | None) -> AsyncIterator[str]:
    yield HEADER
    rows = 0
    while True:
        for order in page.items:
            yield _line(_cells(order, await ledger.delivery_of(order.id)))
        rows += len(page.items)
        if page.next_cursor is None or rows >= CSV_ROWS_MAX:
            return
        page = await ledger.orders(None, page.next_cursor, CSV_PAGE, sale_id=sale_id)


def _cells(order: Order, delivery: Delivery | None) -> list[str]:
    to = delivery or Delivery("", "", "")
    created = datetime.fromtimestamp(order.created_at_ms / 1000, UTC).isoformat(timespec="seconds")
    return [
        order.order_no,
        order.id,
        order.rid,
        str(order.sale_id),
        str(order.user_id),
        order.state,
        str(order.amount),
        order.currency,
        created,
        to.name,
        to.phone,
        to.address,
    ]


def _line(cells: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow([safe_cell(cell) for cell in cells])
    return text.getvalue()


def safe_cell(cell: str) -> str:
    """A cell no spreadsheet takes for a formula."""
    return f"'{cell}" if cell.lstrip(" ").startswith(FORMULA) else cell


def _view(order: Order) -> AdminOrder:
    return AdminOrder(
        order.id,
        order.order_no,
        order.rid,
        order.sale_id,
        order.user_id,
        order.state,
        order.amount,
        order.currency,
        order.created_at_ms,
    )


ROUTES = [list_all_orders, get_delivery, orders_csv]
