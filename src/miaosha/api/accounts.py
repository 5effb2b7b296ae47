"""Accounts and sessions: sign up, sign in, a fresh token."""

from miaosha.api.auth import caller
from miaosha.api.declare import AUTH_BODY_MAX, Req, Who, operation, read_body
from miaosha.api.desk import desk_of
from miaosha.api.limits import client_key
from miaosha.api.schemas import SessionView, SignIn, SignUp, UserView
from miaosha.usecases.accounts import Session

TAG = "Accounts"


@operation(
    "POST",
    "/accounts",
    who=Who.ANYONE,
    tag=TAG,
    summary="Sign up",
    status=201,
    answer=SessionView,
    body=SignUp,
    body_max=AUTH_BODY_MAX,
    codes=("email_taken", "overloaded"),
)
async def sign_up(request: Req) -> SessionView:
    """A buyer's account, signed in at once. E-mails are the same in upper and lower case."""
    desk = desk_of(request)
    body = await read_body(request, SignUp)
    desk.sign_ups.take(client_key(request.scope, desk.trusted))
    return _view(await desk.membership.sign_up(body.email, body.password, body.name))


@operation(
    "POST",
    "/sessions",
    who=Who.ANYONE,
    tag=TAG,
    summary="Sign in",
    answer=SessionView,
    body=SignIn,
    body_max=AUTH_BODY_MAX,
    codes=("bad_credentials", "overloaded"),
)
async def sign_in(request: Req) -> SessionView:
    """An unknown e-mail and a wrong password read the same."""
    desk = desk_of(request)
    body = await read_body(request, SignIn)
    address = client_key(request.scope, desk.trusted)
    account = body.email.strip().lower()
    desk.sign_ins.take(address)
    desk.tries.take(f"{address} {account}")
    desk.account_tries.take(account)
    return _view(await desk.membership.sign_in(body.email, body.password))


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
    return _view(await desk_of(request).membership.refresh(caller(request).user_id))


def _view(session: Session) -> SessionView:
    user = session.user
    return SessionView(session.access_token, UserView(user.id, user.name, user.email, user.role))


ROUTES = [sign_up, sign_in, refresh]
