"""Orders: a buyer's own. Another buyer's order does not exist."""

from uuid import UUID

from litestar.params import FromPath

from miaosha.api.auth import caller
from miaosha.api.context import context_of
from miaosha.api.declare import Req, Who, operation, read_query
from miaosha.api.schemas import OrderList, OrderView, PageQuery, order_view
from miaosha.domain.errors import Problem

TAG = "Orders"


@operation(
    "GET", "/orders", who=Who.BUYER, tag=TAG, summary="My orders", answer=OrderList, query=PageQuery
)
async def list_orders(request: Req) -> OrderList:
    """Newest first."""
    asked = read_query(request, PageQuery)
    ledger = context_of(request).parts.ledger
    page = await ledger.orders.page(caller(request).user_id, asked.cursor, asked.limit)
    return OrderList([order_view(order) for order in page.items], page.next_cursor)


@operation(
    "GET",
    "/orders/{order_id:str}",
    who=Who.BUYER,
    tag=TAG,
    summary="One of my orders",
    answer=OrderView,
)
async def get_order(request: Req, order_id: FromPath[str]) -> OrderView:
    """By its id."""
    try:
        known = str(UUID(order_id))
    except ValueError:
        raise Problem("not_found") from None
    order = await context_of(request).parts.ledger.orders.by_id(known, caller(request).user_id)
    if order is None:
        raise Problem("not_found")
    return order_view(order)


ROUTES = [list_orders, get_order]
