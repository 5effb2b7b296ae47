"""Webhooks: what payment providers tell us. Each is a signed hint: the charge is looked up."""

from litestar.params import FromPath

from miaosha.api.context import context_of
from miaosha.api.declare import Req, Who, operation
from miaosha.domain.errors import Problem

SIGNATURE = "x-miaosha-signature"


@operation(
    "POST",
    "/payments/webhook/{provider:str}",
    who=Who.ANYONE,
    tag="Payments",
    summary="A provider's webhook",
    status=204,
    body=bytes,
    codes=("unauthorized", "bad_request"),
)
async def webhook(request: Req, provider: FromPath[str]) -> None:
    """Signed in the header `X-Miaosha-Signature` (sandbox). Repeats are harmless."""
    context = context_of(request)
    if provider != context.settings.payments_url.partition(":")[0]:
        raise Problem("not_found")
    raw = await request.body()
    key = context.parts.payments.verify_webhook(raw, request.headers.get(SIGNATURE, ""))
    await context.parts.checkout.complete(key)


ROUTES = [webhook]
