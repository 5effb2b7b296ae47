"""Sandbox confirmation: what a bank would show after a redirect.

The address holds an unguessable secret and is all a visitor needs, as with a real provider. The
answer goes to the provider, its webhook finishes the checkout, and the browser goes back to the
shop; only to the shop.
"""

from typing import Any, Final, Protocol
from urllib.parse import parse_qs, urlsplit

from litestar import Response
from litestar.params import FromPath

from miaosha.api.context import ApiContext, context_of
from miaosha.api.declare import Req, Who, operation
from miaosha.api.sandbox_page import CSP, conclusion, confirmation, language_of
from miaosha.domain.errors import Problem
from miaosha.domain.money import Money
from miaosha.ports.payments import ChargeState

TAG = "Sandbox"
PATH: Final = "/sandbox/{secret:str}"
HTML: Final = "text/html"


class Shown(Protocol):
    """What the provider tells of a charge that waits for its buyer."""

    @property
    def key(self) -> str: ...
    @property
    def state(self) -> ChargeState: ...
    @property
    def amount(self) -> Money: ...
    @property
    def return_url(self) -> str: ...


class ConfirmingProvider(Protocol):
    """The provider's own side, beside the Payments port. Other providers have their own pages."""

    async def approval(self, secret: str) -> Shown | None: ...
    async def answer(self, secret: str, *, approve: bool) -> Shown | None: ...
    async def webhook(self, key: str) -> tuple[bytes, str]: ...


@operation(
    "GET",
    PATH,
    who=Who.ANYONE,
    tag=TAG,
    summary="The sandbox's confirmation page",
    answer=str,
    gives=HTML,
)
async def show(request: Req, secret: FromPath[str]) -> Response[bytes]:
    shown = await _provider(context_of(request)).approval(_checked(secret))
    if shown is None:
        raise Problem("not_found")
    language = language_of(request.headers.get("accept-language", ""))
    if shown.state is ChargeState.ACTION:
        page = confirmation(shown.amount, language)
    else:
        page = conclusion(shown.state, _back(context_of(request), shown.return_url), language)
    headers = {"content-security-policy": CSP, "vary": "accept-language"}
    return Response(page, media_type=HTML, headers=headers)


@operation(
    "POST",
    PATH,
    who=Who.ANYONE,
    tag=TAG,
    summary="Approve or refuse",
    status=303,
    body=bytes,
    takes=("application/x-www-form-urlencoded",),
    body_max=1_000,
)
async def decide(request: Req, secret: FromPath[str]) -> Response[Any]:
    context = context_of(request)
    form = parse_qs((await request.body()).decode("latin-1"), max_num_fields=5)
    decision = form.get("decision", [""])[0]
    if decision not in ("approve", "refuse"):
        raise Problem("bad_request", "Expected approve or refuse.", field="decision")
    provider = _provider(context)
    shown = await provider.answer(_checked(secret), approve=decision == "approve")
    if shown is None:
        raise Problem("not_found")
    raw, signature = await provider.webhook(shown.key)
    await context.parts.checkout.complete(context.parts.payments.verify_webhook(raw, signature))
    location = _back(context, shown.return_url)
    return Response(b"", status_code=303, media_type=HTML, headers={"location": location})


def _provider(context: ApiContext) -> ConfirmingProvider:
    payments: Any = context.parts.payments
    if not hasattr(payments, "approval"):  # another provider than the sandbox
        raise Problem("not_found")
    provider: ConfirmingProvider = payments
    return provider


def _checked(secret: str) -> str:
    if len(secret) > 64 or not secret.isascii():
        raise Problem("not_found")
    return secret


def _back(context: ApiContext, return_url: str) -> str:
    """Where the buyer came from if that is the shop, else the shop's front page."""
    shop = urlsplit(context.settings.public_url)
    there = urlsplit(return_url)
    if (there.scheme, there.netloc) == (shop.scheme, shop.netloc):
        return return_url
    return f"{context.settings.public_url.rstrip('/')}/"


ROUTES = [show, decide]
