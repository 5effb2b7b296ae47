"""Sales, by admins: their terms and their phase. What watches a sale is in admin_watch."""

from collections.abc import Callable
from typing import Any

from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from miaosha.api.admin_schemas import (
    AdminSale,
    AdminSaleList,
    NewSaleBody,
    SaleBody,
    SaleUpdateBody,
    StockBody,
    admin_sale,
    questions_of,
)
from miaosha.api.auth import actor
from miaosha.api.context import WAIT_S, ApiContext, context_of
from miaosha.api.declare import Req, Who, operation, read_body, read_query
from miaosha.api.schemas import ListQuery
from miaosha.domain.sale import Sale
from miaosha.ports.catalogue import SaleDraft
from miaosha.usecases.terms import draft_of

TAG = "Admin: sales"
SALE_BODY_MAX = 65_536  # fifty questions fit


@operation(
    "GET",
    "/admin/sales",
    who=Who.ADMIN,
    tag=TAG,
    summary="Sales",
    answer=AdminSaleList,
    query=ListQuery,
)
async def list_all_sales(request: Req) -> AdminSaleList:
    """Drafts too, newest opening first."""
    context, asked = context_of(request), read_query(request, ListQuery)
    page = await context.manage.page(asked.cursor, asked.limit)
    return AdminSaleList([_view(context, sale) for sale in page.items], page.next_cursor)


@operation(
    "POST",
    "/admin/sales",
    who=Who.ADMIN,
    tag=TAG,
    summary="Create a sale",
    status=201,
    answer=AdminSale,
    body=NewSaleBody,
    body_max=SALE_BODY_MAX,
    codes=("conflict",),
)
async def create_sale(request: Req) -> AdminSale:
    """A draft nobody sees, or scheduled at once with `publish`."""
    context = context_of(request)
    body = await read_body(request, NewSaleBody)
    sale = await context.manage.create(actor(request), _draft(body), publish=body.publish)
    return _view(context, sale)


@operation(
    "GET",
    "/admin/sales/{sale_id:int}",
    who=Who.ADMIN,
    tag=TAG,
    summary="One sale",
    answer=AdminSale,
)
async def show_sale(request: Req, sale_id: FromPath[int]) -> AdminSale:
    """With its questions and their answers, and the reason of a freeze."""
    context = context_of(request)
    return _view(context, await context.manage.get(sale_id))


@operation(
    "PUT",
    "/admin/sales/{sale_id:int}",
    who=Who.ADMIN,
    tag=TAG,
    summary="Change a sale's terms",
    answer=AdminSale,
    body=SaleUpdateBody,
    body_max=SALE_BODY_MAX,
    codes=("conflict",),
)
async def update_sale(request: Req, sale_id: FromPath[int]) -> AdminSale:
    """Only while it is a draft, or scheduled and not armed yet. All terms at once; with a
    `version`, only if nobody else has changed them since (else 409 with the field `version`)."""
    context = context_of(request)
    body = await read_body(request, SaleUpdateBody)
    sale = await context.manage.update(actor(request), sale_id, _draft(body), body.version)
    return _view(context, sale)


@operation(
    "DELETE",
    "/admin/sales/{sale_id:int}",
    who=Who.ADMIN,
    tag=TAG,
    summary="Delete a draft",
    status=204,
    codes=("conflict",),
)
async def delete_sale(request: Req, sale_id: FromPath[int]) -> None:
    """A sale that was published stays for ever."""
    await context_of(request).manage.delete(actor(request), sale_id)


def _action(name: str, summary: str) -> Callable[[Callable[..., Any]], HTTPRouteHandler]:
    return operation(
        "POST",
        f"/admin/sales/{{sale_id:int}}/{name}",
        who=Who.ADMIN,
        tag=TAG,
        summary=summary,
        answer=AdminSale,
        codes=("conflict",),
    )


@_action("publish", "Publish a draft")
async def publish_sale(request: Req, sale_id: FromPath[int]) -> AdminSale:
    """Anyone sees it from now on; it opens by its time."""
    context = context_of(request)
    return _view(context, await context.manage.publish(actor(request), sale_id))


@_action("pause", "Pause")
async def pause_sale(request: Req, sale_id: FromPath[int]) -> AdminSale:
    """No new presses; what was accepted waits. Paying goes on and its clock does not stop."""
    context = context_of(request)
    return _view(context, await context.manage.pause(actor(request), sale_id))


@_action("resume", "Resume")
async def resume_sale(request: Req, sale_id: FromPath[int]) -> AdminSale:
    """Presses are taken again, and those that waited are decided."""
    context = context_of(request)
    return _view(context, await context.manage.resume(actor(request), sale_id))


@_action("close", "Close")
async def close_sale(request: Req, sale_id: FromPath[int]) -> AdminSale:
    """No new presses, for good. Units on hold can still be paid; freed ones go to standby."""
    context = context_of(request)
    return _view(context, await context.manage.close(actor(request), sale_id))


@_action("rebuild", "Rebuild the live state")
async def rebuild_sale(request: Req, sale_id: FromPath[int]) -> AdminSale:
    """From SQL and the log of requests; a frozen sale goes on afterwards. With a large sale this
    takes a minute: after ten seconds the answer is the sale, frozen, and the rebuild goes on."""
    context = context_of(request)
    return _view(context, await context.manage.rebuild(actor(request), sale_id, WAIT_S))


@operation(
    "POST",
    "/admin/sales/{sale_id:int}/stock",
    who=Who.ADMIN,
    tag=TAG,
    summary="Set the total stock",
    answer=AdminSale,
    body=StockBody,
    codes=("conflict",),
)
async def set_stock(request: Req, sale_id: FromPath[int]) -> AdminSale:
    """Raised: standby gets the new units at once. Lowered: never below what is held or paid."""
    context = context_of(request)
    body = await read_body(request, StockBody)
    return _view(context, await context.manage.stock(actor(request), sale_id, body.stock, WAIT_S))


def _draft(body: SaleBody) -> SaleDraft:
    return draft_of(
        product_id=body.product_id,
        title=body.title,
        price=body.price,
        stock=body.stock,
        opens_at_ms=body.opens_at_ms,
        closes_at_ms=body.closes_at_ms,
        questions=questions_of(body.questions),
        pay_within_s=body.pay_within_s,
        standby_pay_within_s=body.standby_pay_within_s,
        standby_limit=body.standby_limit,
        mode=body.mode,
    )


def _view(context: ApiContext, sale: Sale) -> AdminSale:
    return admin_sale(sale, context.parts.clock.now_ms())


ROUTES = [
    list_all_sales,
    create_sale,
    show_sale,
    update_sale,
    delete_sale,
    publish_sale,
    pause_sale,
    resume_sale,
    close_sale,
    rebuild_sale,
    set_stock,
]
