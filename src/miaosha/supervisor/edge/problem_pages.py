"""Problem pages: what the edge answers by itself when something is wrong, as lines for nginx.

Every status for which nginx has a page (in HTML, with its name) becomes problem+json. Where a
person asked for a page, nginx.conf has a page of ours for some of them.
"""

from typing import Final, NamedTuple

from miaosha.domain.errors import CODES, RETRY_AFTER_S
from miaosha.serving.http_response import problem_body


class EdgeProblem(NamedTuple):
    """Attributes:
    code: of domain/errors.py; its status is what the client sees.
    statuses: nginx's own that become this one; some are codes of its inside (494 to 497).
    """

    code: str
    statuses: tuple[int, ...]


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
    EdgeProblem("rate_limited", (429,)),
    EdgeProblem("headers_too_large", (431, 494)),
    EdgeProblem("internal", (500,)),
    EdgeProblem("not_implemented", (501,)),
    EdgeProblem("unavailable", (502, 503, 504, 507)),
    EdgeProblem("version_not_supported", (505,)),
)
STRAY_BODY: Final = "No body is taken here with this method."


def problem_lines() -> str:
    """A file to be included in every server."""
    pages = [
        f"error_page {' '.join(map(str, made.statuses))} = /~problem/{made.code};"
        for made in PROBLEMS
    ]
    places = [_place(made.code, made.code) for made in PROBLEMS]
    return "\n".join([*pages, *places, _stray_body()]) + "\n"


def _place(name: str, code: str, detail: str = "", more: str = "") -> str:
    wait_s = RETRY_AFTER_S.get(code)
    retry = f"    add_header Retry-After {wait_s} always;\n" if wait_s else ""
    return (
        f"location = /~problem/{name} {{\n"
        f"    internal;\n"
        f"    client_max_body_size 0;\n"  # a body that failed upstream is not judged again
        f"    default_type application/problem+json;\n"
        f"    include security.conf;\n"
        f"    add_header Cache-Control no-store always;\n{retry}{more}"
        f"    return {CODES[code][0]} '{problem_body(code, detail).decode()}';\n"
        f"}}"
    )


def _stray_body() -> str:
    """The connection ends with it, as nobody shall look for a request behind that body."""
    return _place("stray_body", "bad_request", detail=STRAY_BODY, more="    keepalive_timeout 0;\n")
