"""Admin orders: pages of everybody's orders, and the delivery address of one."""

from uuid import UUID

from litestar.params import FromPath

from miaosha.api.admin_schemas import (
    AdminOrderList,
    AdminOrdersQuery,
    DeliveryView,
    OrderFilter,
)
from miaosha.api.auth import actor
from miaosha.api.context import context_of
from miaosha.api.declare import Req, Who, operation, read_query
from miaosha.domain.errors import Problem
from miaosha.ports.backoffice import OrderSearch

TAG = "Admin: orders"


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
    backoffice = context_of(request).parts.backoffice
    return AdminOrderList(*await backoffice.orders(search_of(asked), asked.cursor, asked.limit))


def search_of(asked: OrderFilter) -> OrderSearch:
    """As the port has it."""
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
    parts = context_of(request).parts
    try:
        known = str(UUID(order_id))
    except ValueError:
        raise Problem("not_found") from None
    delivery = await parts.ledger.orders.delivery(known)
    if delivery is None:
        raise Problem("not_found")
    now = parts.clock.now_ms()
    await parts.trail.append(now, actor(request), "order.delivery", f"order:{known}", {})
    return DeliveryView(delivery.name, delivery.phone, delivery.address)


ROUTES = [list_all_orders, get_delivery]
