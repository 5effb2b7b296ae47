"""Checkout: the route that pays for a unit that is held."""

from litestar import Response
from litestar.params import FromPath

from miaosha.api.auth import caller
from miaosha.api.context import context_of
from miaosha.api.declare import Req, Who, operation, read_body
from miaosha.api.schemas import ActionNeeded, CheckoutBody, OrderView, RedirectTo, order_view
from miaosha.usecases.checkout import Paid, card_of, delivery_of


@operation(
    "POST",
    "/sales/{sale_id:int}/checkout",
    who=Who.BUYER,
    tag="Purchases",
    summary="Pay",
    status=201,
    answer=OrderView,
    answers={202: ActionNeeded},
    body=CheckoutBody,
    codes=("payment_refused", "payment_in_progress", "hold_expired", "frozen"),
)
async def pay(request: Req, sale_id: FromPath[int]) -> Response[OrderView | ActionNeeded]:
    """The price is the sale's, never the caller's. A repeat returns the same order. 202: the
    payment provider wants the buyer to confirm at `redirect_url` first."""
    context = context_of(request)
    body = await read_body(request, CheckoutBody)
    card = card_of(body.payment.card, body.payment.expiry, body.payment.cvc)
    delivery = delivery_of(body.name, body.phone, body.address)
    back = f"{context.settings.public_url.rstrip('/')}/sales/{sale_id}?payment=returned"
    result = await context.parts.checkout.pay(
        sale_id, caller(request).user_id, body.checkout_token, card, delivery, back
    )
    if isinstance(result, Paid):
        return Response(order_view(result.order), status_code=201)
    return Response(ActionNeeded(RedirectTo(result.redirect_url)), status_code=202)


ROUTES = [pay]
