"""Problem pages: what the edge answers by itself when something is wrong, as lines for nginx.

Every status for which nginx has a page (in HTML, with its name) becomes problem+json. Where a
person asked for a page, nginx.conf has a page of ours for some of them.
"""

from typing import Final, NamedTuple

import msgspec

from miaosha.domain.errors import CODES


class EdgeProblem(NamedTuple):
    """Attributes:
    code: of domain/errors.py; its status is what the client sees.
    statuses: nginx's own that become this one; some are codes of its inside (494 to 497).
    retry_after_s: 0: not worth another try by itself.
    """

    code: str
    statuses: tuple[int, ...]
    retry_after_s: int = 0


PROBLEMS: Final = (
    EdgeProblem("bad_request", (400, 401, 402, 406, 407, 410, 414, 415, 421, 495, 496, 497)),
    EdgeProblem("not_found", (403, 404)),
    EdgeProblem("method_not_allowed", (405,)),
    EdgeProblem("request_timeout", (408,)),
    EdgeProblem("closed", (409,)),
    EdgeProblem("length_required", (411,)),
    EdgeProblem("precondition_failed", (412,)),
    EdgeProblem("too_large", (413,)),
    EdgeProblem("range_not_satisfiable", (416,)),
    EdgeProblem("rate_limited", (429,), 1),
    EdgeProblem("headers_too_large", (431, 494)),
    EdgeProblem("internal", (500,)),
    EdgeProblem("not_implemented", (501,)),
    EdgeProblem("unavailable", (502, 503, 504, 507), 1),
    EdgeProblem("version_not_supported", (505,)),
)
STRAY_BODY: Final = "No body is taken here with this method."


def problem_lines() -> str:
    """A file to be included in every server."""
    pages = [
        f"error_page {' '.join(map(str, made.statuses))} = /~problem/{made.code};"
        for made in PROBLEMS
    ]
    places = [_place(made.code, made.code, made.retry_after_s) for made in PROBLEMS]
    return "\n".join([*pages, *places, _stray_body()]) + "\n"


def _place(name: str, code: str, retry_after_s: int = 0, detail: str = "", more: str = "") -> str:
    status, title = CODES[code]
    body = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "code": code,
        "detail": detail or title,
    }
    retry = f"    add_header Retry-After {retry_after_s} always;\n" if retry_after_s else ""
    return (
        f"location = /~problem/{name} {{\n"
        f"    internal;\n"
        f"    client_max_body_size 0;\n"  # a body that failed upstream is not judged again
        f"    default_type application/problem+json;\n"
        f"    include security.conf;\n"
        f"    add_header Cache-Control no-store always;\n{retry}{more}"
        f"    return {status} '{msgspec.json.encode(body).decode()}';\n"
        f"}}"
    )


def _stray_body() -> str:
    """The connection ends with it, as nobody shall look for a request behind that body."""
    return _place("stray_body", "bad_request", detail=STRAY_BODY, more="    keepalive_timeout 0;\n")
