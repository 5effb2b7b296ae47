"""Purchases: a buyer's own place in a sale.

The publisher serves the press, and the edge never sends it here; its route documents it.
"""

from litestar.params import FromPath

from miaosha.api.auth import caller
from miaosha.api.context import context_of
from miaosha.api.declare import Req, Who, operation, read_query
from miaosha.api.schemas import ExtendQuery, MineQuery, Press, Queued
from miaosha.domain.errors import Problem
from miaosha.usecases.query import Mine

TAG = "Purchases"


@operation(
    "POST",
    "/sales/{sale_id:int}/purchases",
    who=Who.BUYER,
    tag=TAG,
    summary="Press: ask for one unit",
    status=202,
    answer=Queued,
    body=Press,
    codes=(
        "bad_request",
        "wrong_answer",
        "not_open",
        "closed",
        "paused",
        "sold_out",
        "length_required",
        "overloaded",
        "frozen",
    ),
)
async def press(request: Req, sale_id: FromPath[int]) -> Queued:
    """202 means the request is durable and will be decided, once. The result comes as a push
    (Socket.IO `result`), and from `GET …/purchases/mine`, which is the truth. Pressing again is
    harmless: a buyer has one place in a sale."""
    raise Problem("not_found", "Purchases are taken by the publisher.")


@operation(
    "GET",
    "/sales/{sale_id:int}/purchases/mine",
    who=Who.BUYER,
    tag=TAG,
    summary="Where I stand",
    answer=Mine,
    query=MineQuery,
    codes=("frozen",),
)
async def mine(request: Req, sale_id: FromPath[int]) -> Mine:
    """With `request_id` (from the 202) it also tells a request that ended without a place."""
    asked = read_query(request, MineQuery)
    query = context_of(request).parts.query
    return await query.mine(sale_id, caller(request).user_id, asked.request_id)


@operation(
    "DELETE",
    "/sales/{sale_id:int}/purchases/mine",
    who=Who.BUYER,
    tag=TAG,
    summary="Give up my unit or my place on standby",
    status=204,
    codes=("payment_in_progress", "conflict", "frozen"),
)
async def give_up(request: Req, sale_id: FromPath[int]) -> None:
    """The unit goes to the head of standby at once. Giving up twice is harmless."""
    await context_of(request).parts.release.give_up(sale_id, caller(request).user_id)


@operation(
    "POST",
    "/sales/{sale_id:int}/purchases/mine/extend",
    who=Who.BUYER,
    tag=TAG,
    summary="More time to pay",
    answer=Mine,
    query=ExtendQuery,
    codes=("payment_in_progress", "already_extended", "conflict", "hold_expired", "frozen"),
)
async def extend(request: Req, sale_id: FromPath[int]) -> Mine:
    """Moves pay_by once per hold, by two minutes unless the shop is set otherwise, and tells every
    socket of the buyer. Returns the place with its new pay_by and checkout token. A repeat returns
    the same. With `pay_by_ms`, the deadline the buyer sees, asking once more for a deadline that
    was moved already is 409 already_extended."""
    asked = read_query(request, ExtendQuery)
    parts = context_of(request).parts
    user_id = caller(request).user_id
    await parts.extension.extend(sale_id, user_id, asked.pay_by_ms)
    return await parts.query.mine(sale_id, user_id, None)


ROUTES = [press, mine, give_up, extend]
