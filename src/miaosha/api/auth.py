"""Gate: before every handler, who calls, may they, and is the body of a kind we read.

The caller is the subject of the bearer token and nothing else; a role comes from the token only.
"""

from typing import Any, cast

import structlog
from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler

from miaosha.api.context import ApiContext, context_of
from miaosha.api.declare import Operation, Req, Who
from miaosha.api.headers import request_id
from miaosha.domain.errors import Problem
from miaosha.ports.tokens import Identity

ID_MAX = 2**53 - 1  # what a JSON number carries exactly

Connection = ASGIConnection[Any, Any, Any, Any]


async def gate(connection: Connection, handler: BaseRouteHandler) -> None:
    """Litestar's guard on every route. It awaits nothing, but a plain function would be run in a
    thread, where what it binds to the log context is lost.

    Raises:
        Problem: unauthorized, forbidden, not_found (an id out of range), unsupported_media_type,
            bad_request (a body where the operation takes none).
    """
    operation: Operation | None = handler.opt.get("operation")
    if operation is None:  # Litestar's own answer to OPTIONS
        return
    structlog.contextvars.bind_contextvars(request_id=request_id(connection.scope))
    if operation.who is not Who.ANYONE:
        identity = _identify(context_of(connection), connection.headers.get("authorization", ""))
        if operation.who is Who.ADMIN and identity.role != "admin":
            raise Problem("forbidden")
        connection.scope["user"] = identity
    for value in connection.path_params.values():
        if isinstance(value, int) and not 1 <= value <= ID_MAX:
            raise Problem("not_found")
    if operation.body is not None:
        _check_media(connection.headers.get("content-type", ""), operation.takes)
    elif int(connection.headers.get("content-length", 0)):
        raise Problem("bad_request", "No body is taken here.")


def _identify(context: ApiContext, header: str) -> Identity:
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Problem("unauthorized")
    return context.parts.tokens.verify_access(token.strip(), context.parts.clock.now_ms())


def _check_media(content_type: str, takes: tuple[str, ...]) -> None:
    if content_type.partition(";")[0].strip().lower() not in takes:
        raise Problem("unsupported_media_type", f"Expected {' or '.join(takes)}.")


def caller(request: Req) -> Identity:
    """The identity the gate let in."""
    return cast("Identity", request.scope["user"])


def actor(request: Req) -> str:
    """The caller as the trail names them."""
    return f"user:{caller(request).user_id}"
