"""Problems: every error as RFC 9457 problem+json with a stable `code`.

An error is ours, Litestar's, or unexpected. An unexpected one is logged with its type and its
frames, never with its message, which may quote a body. The caller gets `internal` and the request
id.
"""

import traceback
from typing import Any, Final

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, InternalServerException

from miaosha.domain.errors import DependencyDown, OutcomeUnknown, Overloaded, Problem
from miaosha.serving.http_response import problem_body

PROBLEM_JSON: Final = "application/problem+json"
CODE_OF_STATUS: Final = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
    429: "rate_limited",
    503: "unavailable",
}

_LEFT: Final = "client disconnected prematurely"  # how Litestar says it, and as what: a 500

log = structlog.get_logger()


class ProblemView(msgspec.Struct, frozen=True, omit_defaults=True):
    """RFC 9457 problem details. Branch on `code`; `field` names what is wrong in what was sent."""

    title: str
    status: int
    code: str
    detail: str
    kind: str = msgspec.field(name="type")
    field: str = ""


def render(problem: Problem, headers: dict[str, str] | None = None) -> Response[bytes]:
    """The response for a problem, with Retry-After where it says when to ask again."""
    extra = dict(headers or {})
    if problem.retry_after_s is not None:
        extra["retry-after"] = str(max(1, problem.retry_after_s))
    if problem.status == 401:
        extra["www-authenticate"] = "Bearer"
    body = problem_body(problem.code, problem.detail, problem.field)
    return Response(body, status_code=problem.status, media_type=PROBLEM_JSON, headers=extra)


def problem_of(error: Exception) -> Problem | None:
    """The problem an exception stands for, or None for one nobody expected."""
    match error:
        case Problem():
            return error
        case Overloaded():
            return Problem("overloaded", f"A limit was reached: {error.limit}.")
        case OutcomeUnknown():
            return Problem("unavailable", "The outcome is not known yet; asking again is safe.")
        case DependencyDown() | TimeoutError():
            return Problem("unavailable")
        case InternalServerException() if error.detail == _LEFT:
            return Problem("request_timeout")  # nobody reads it; it is not a defect of ours
        case HTTPException() if error.status_code in CODE_OF_STATUS:
            return Problem(CODE_OF_STATUS[error.status_code])
        case HTTPException() if error.status_code < 500:
            return Problem("bad_request")
        case _:
            return None


def handle(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Litestar's exception handler for everything."""
    problem = problem_of(error)
    if problem is None:
        frames = traceback.format_tb(error.__traceback__)
        log.error(
            "unexpected",
            error=type(error).__name__,
            method=request.method,
            frames="".join(frames[-12:]),
        )
        problem = Problem("internal")
    allow = error.headers if isinstance(error, HTTPException) else None
    return render(problem, {k: v for k, v in (allow or {}).items() if k.lower() == "allow"})
