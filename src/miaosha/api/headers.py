"""Headers: the id of a request, and what every response carries, errors included."""

import re
import uuid
from typing import Any, Final

import structlog
from litestar.datastructures import MutableScopeHeaders
from litestar.routes import HTTPRoute
from litestar.types import Message, Scope

from miaosha.api.declare import Operation

log = structlog.get_logger()

_ID = re.compile(rb"[A-Za-z0-9_-]{8,64}")
PAGE_POLICY: Final = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"


def request_id(scope: Any) -> str:
    """The edge's X-Request-Id if it is well formed, else a new one; one per request."""
    state: dict[str, Any] = scope.setdefault("state", {})
    known = state.get("request_id")
    if isinstance(known, str):
        return known
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    made = given.decode() if _ID.fullmatch(given) else uuid.uuid4().hex
    state["request_id"] = made
    return made


async def finish(message: Message, scope: Scope) -> None:
    """Litestar's before_send hook: caching, security and tracing headers; one count per status."""
    if message["type"] != "http.response.start":
        return
    headers = MutableScopeHeaders.from_message(message)
    status = message["status"]
    headers["x-request-id"] = request_id(scope)
    headers["x-content-type-options"] = "nosniff"
    headers["referrer-policy"] = "no-referrer"
    headers.setdefault("content-security-policy", PAGE_POLICY)
    headers.setdefault("cache-control", _cache(scope) if status < 400 else "no-store")
    if scope.get("method") == "OPTIONS" and "allow" in headers:
        headers["allow"] = _methods(scope)
    counters = scope["litestar_app"].state.context.counters
    name = f"responses_{status // 100}xx"
    counters[name] = counters.get(name, 0) + 1
    log.debug(
        "request",
        request_id=request_id(scope),
        method=scope.get("method"),
        route=scope.get("path_template"),  # never the address itself: it may hold a secret
        status=status,
    )


def _methods(scope: Scope) -> str:
    """All methods of this address; Litestar's own answer to OPTIONS knows only one handler's."""
    template = scope.get("path_template")
    found = {
        str(method)
        for route in scope["litestar_app"].routes
        if isinstance(route, HTTPRoute) and route.path_format == template
        for method in route.methods
    }
    return ", ".join(sorted(found))


def _cache(scope: Scope) -> str:
    handler = scope.get("route_handler")
    operation: Operation | None = handler.opt.get("operation") if handler else None
    return operation.cache if operation else "no-store"
