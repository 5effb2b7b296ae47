"""Accounts and sessions: sign up, sign in, a fresh token."""

import contextlib

from miaosha.api.auth import caller
from miaosha.api.context import ApiContext, context_of
from miaosha.api.declare import AUTH_BODY_MAX, Req, Who, operation, read_body
from miaosha.api.schemas import SessionView, SignedIn, SignIn, SignUp, UserView
from miaosha.domain.credentials import canonical_email
from miaosha.usecases.accounts import SignedInUser

TAG = "Accounts"


@operation(
    "POST",
    "/accounts",
    who=Who.ANYONE,
    tag=TAG,
    summary="Sign up",
    status=201,
    answer=SignedIn,
    body=SignUp,
    body_max=AUTH_BODY_MAX,
    codes=("email_taken", "overloaded"),
)
async def sign_up(request: Req) -> SignedIn:
    """A buyer's account, signed in at once. E-mails are the same in upper and lower case."""
    context = context_of(request)
    body = await read_body(request, SignUp)
    address = _address(request)
    context.sign_ups.take(address)
    context.sign_ups_per_hour.take(address)
    with context.sign_ups_at_once.one(address):
        session = await context.membership.sign_up(body.email, body.password, body.name)
    context.guesses.welcome(session.user.email, address)
    return _signed_in(context, session, None)


@operation(
    "POST",
    "/sessions",
    who=Who.ANYONE,
    tag=TAG,
    summary="Sign in",
    answer=SignedIn,
    body=SignIn,
    body_max=AUTH_BODY_MAX,
    codes=("bad_credentials", "overloaded"),
)
async def sign_in(request: Req) -> SignedIn:
    """An unknown e-mail and a wrong password read the same. After ten wrong passwords for an
    account, or from an address, the answer to a wrong one takes its time; a right one never waits.
    The `device_token` of an earlier answer shows that this device has signed in before."""
    context = context_of(request)
    body = await read_body(request, SignIn)
    account = canonical_email(body.email) or body.email
    device = context.parts.tokens.verify_device(
        body.device_token, account, context.parts.clock.now_ms()
    )
    address = _address(request)
    known = context.guesses.knows(account, address, device) and context.known_at_once.has_room(
        address
    )
    at_once = context.known_at_once if known else context.sign_ins_at_once
    async with context.guesses.trying(account, address, device):
        with (
            contextlib.nullcontext() if known else context.sign_ins.failures(address),
            at_once.one(address),
        ):
            session = await context.membership.sign_in(body.email, body.password, known=known)
    return _signed_in(context, session, device)


@operation(
    "POST",
    "/sessions/refresh",
    who=Who.BUYER,
    tag=TAG,
    summary="A fresh access token",
    answer=SessionView,
)
async def refresh(request: Req) -> SessionView:
    """Before the present one expires; it carries the account's present role."""
    return _view(await context_of(request).membership.refresh(caller(request).user_id))


def _address(request: Req) -> int:
    """What limits per address count by. On a unix socket uvicorn has no client, or no host."""
    client = request.scope.get("client")
    real_ip = request.headers.get("x-real-ip", "").encode("latin-1")
    return context_of(request).addresses.of(client if client and client[0] else None, real_ip)


def _signed_in(context: ApiContext, session: SignedInUser, device: str | None) -> SignedIn:
    """With a device token anew, so that it lasts as long as it is used."""
    view = _view(session)
    now_ms = context.parts.clock.now_ms()
    token = context.parts.tokens.device(session.user.email, device, now_ms)
    return SignedIn(view.access_token, view.user, token)


def _view(session: SignedInUser) -> SessionView:
    user = session.user
    return SessionView(session.access_token, UserView(user.id, user.name, user.email, user.role))


ROUTES = [sign_up, sign_in, refresh]
