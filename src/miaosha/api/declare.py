"""Declaration: what a route takes and answers, one `operation` per handler.

The declaration is the whole truth about a route. The gate enforces `who` and the media type, the
OpenAPI document is made from it, and Litestar routes by it. A route without one cannot exist.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import msgspec
from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.types import Method

from miaosha.domain.errors import Problem
from miaosha.ports.tokens import Identity

BODY_MAX = 8_192  # bytes
AUTH_BODY_MAX = 4_096
JSON = "application/json"

Req = Request[Identity, Any, Any]
T = TypeVar("T")


class Who(StrEnum):
    """Who may call: anyone; a signed-in buyer (any role); an account with role admin."""

    ANYONE = "anyone"
    BUYER = "buyer"
    ADMIN = "admin"


@dataclass(frozen=True)
class Operation:
    """Attributes:
    answer: the type of a successful body, None for none.
    answers: further successful statuses with their types.
    takes: media types of the body it accepts.
    codes: the problem codes it may answer, those every route has aside.
    cache: its Cache-Control.
    """

    who: Who
    tag: str
    summary: str
    status: int
    answer: Any
    answers: dict[int, Any]
    gives: str
    body: Any
    takes: tuple[str, ...]
    query: type[msgspec.Struct] | None
    codes: tuple[str, ...]
    cache: str
    description: str


def operation(
    method: Method,
    path: str,
    *,
    who: Who,
    tag: str,
    summary: str,
    status: int = 200,
    answer: Any = None,
    answers: dict[int, Any] | None = None,
    gives: str = JSON,
    body: Any = None,
    takes: Sequence[str] = (JSON,),
    body_max: int = BODY_MAX,
    query: type[msgspec.Struct] | None = None,
    codes: Sequence[str] = (),
    cache: str = "no-store",
) -> Callable[[Callable[..., Any]], HTTPRouteHandler]:
    """Make a handler of `async def f(request: Req, <path parameters>) -> answer`.

    Args:
        body: the struct `read_body` decodes, or bytes for a body of another media type.
        body_max: bytes; a larger body is 413.
    """

    def wrap(handler: Callable[..., Any]) -> HTTPRouteHandler:
        declared = Operation(
            who=who,
            tag=tag,
            summary=summary,
            status=status,
            answer=answer,
            answers=answers or {},
            gives=gives,
            body=body,
            takes=tuple(takes),
            query=query,
            codes=tuple(codes),
            cache=cache,
            description=" ".join((handler.__doc__ or "").split()),
        )
        return _routed(method, path, declared, body_max)(handler)

    return wrap


def _routed(method: Method, path: str, declared: Operation, body_max: int) -> HTTPRouteHandler:
    return HTTPRouteHandler(
        path,
        http_method=method,
        status_code=declared.status,
        media_type=declared.gives,
        opt={"operation": declared},
        request_max_body_size=body_max,
    )


async def read_body(request: Req, kind: type[T]) -> T:
    """The body as `kind`.

    Raises:
        Problem: bad_request, naming the field that is wrong or unknown.
    """
    raw = await request.body()
    try:
        return msgspec.json.decode(raw, type=kind, strict=True)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Problem("bad_request", "The body is not valid JSON.") from None


def read_query(request: Req, kind: type[T]) -> T:
    """The query string as `kind` (numbers are read from text; unknown parameters are ignored).

    Raises:
        Problem: bad_request, naming the parameter.
    """
    known: set[str] = set(getattr(kind, "__struct_fields__", ()))
    given: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in known and (name in given or value.lower() == "null"):
            raise Problem("bad_request", "Expected one value.", field=name)
        if name in known and "\0" in value:  # no database stores it, and PostgreSQL fails on it
            raise Problem("bad_request", "Control characters are not allowed.", field=name)
        given[name] = value
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None


_UNKNOWN = re.compile(r"(?:unknown|required) field `([^`]+)`")


def _invalid(message: str) -> Problem:
    """msgspec's `what - at `$.where`` as a problem with its field."""
    what, _, where = message.partition(" - at ")
    path = where.strip("`").removeprefix("$").removeprefix(".")
    if name := _UNKNOWN.search(what):
        path = f"{path}.{name[1]}" if path else name[1]
    return Problem("bad_request", f"{what}.", field=path[:200])
