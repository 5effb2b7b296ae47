"""Sales: what anyone may see of them, the time, and the question a buyer is asked."""

from litestar.params import FromPath

from miaosha.api.auth import caller
from miaosha.api.context import context_of
from miaosha.api.declare import Req, Who, operation
from miaosha.api.schemas import SaleList, Time
from miaosha.domain.sale import QuestionView, SaleView, ask

TAG = "Sales"
PUBLIC_1S = "public, max-age=1"


@operation("GET", "/time", who=Who.ANYONE, tag=TAG, summary="The platform's clock", answer=Time)
async def time(request: Req) -> Time:
    """Countdowns go by this clock, not by the browser's."""
    return Time(context_of(request).parts.clock.now_ms())


@operation(
    "GET",
    "/sales",
    who=Who.ANYONE,
    tag=TAG,
    summary="Sales",
    answer=SaleList,
    cache=PUBLIC_1S,
)
async def list_sales(request: Req) -> SaleList:
    """Running ones first, then those to come, the next first, then those that are over."""
    return SaleList(await context_of(request).board.list())


@operation(
    "GET",
    "/sales/{sale_id:int}",
    who=Who.ANYONE,
    tag=TAG,
    summary="One sale",
    answer=SaleView,
    cache=PUBLIC_1S,
)
async def get_sale(request: Req, sale_id: FromPath[int]) -> SaleView:
    """`available` is false once units and standby places are gone."""
    return await context_of(request).board.view(sale_id)


@operation(
    "GET",
    "/sales/{sale_id:int}/question",
    who=Who.BUYER,
    tag=TAG,
    summary="The question this buyer is asked",
    answer=QuestionView,
)
async def get_question(request: Req, sale_id: FromPath[int]) -> QuestionView:
    """Chosen for this buyer by a keyed hash; the same one every time. Never the answer."""
    context = context_of(request)
    sale = await context.board.sale(sale_id)
    key = context.parts.tokens.question_key()
    return ask(sale.question_for(key, caller(request).user_id))


ROUTES = [time, list_sales, get_sale, get_question]
