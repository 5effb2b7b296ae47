"""Answers as bytes, built once: problem+json per code, and the 202 of a batch.

Every answer carries its length and `no-store`. `Connection: close` and answers to HEAD are rare,
so they are cut out of the ordinary bytes when needed.
"""

from typing import Any, Final

import msgspec

from miaosha.domain.errors import CODES
from miaosha.domain.messages import BATCH_USERS_MAX

REASONS: Final = {
    200: "OK",
    202: "Accepted",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    410: "Gone",
    411: "Length Required",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    417: "Expectation Failed",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
RETRY_AFTER_S: Final = {
    "rate_limited": 1,
    "overloaded": 1,
    "unavailable": 1,
    "frozen": 2,
}
END: Final = b"\r\n\r\n"


def response(status: int, content_type: str, body: bytes, *headers: str) -> bytes:
    """A whole answer; `headers` are further header lines without their line ends."""
    lines = [
        f"HTTP/1.1 {status} {REASONS[status]}",
        f"content-type: {content_type}",
        f"content-length: {len(body)}",
        "cache-control: no-store",
        *headers,
    ]
    return "\r\n".join(lines).encode() + END + body


def problem(code: str, detail: str = "", *, field: str = "", allow: str = "") -> bytes:
    """The answer for a code of `CODES` as RFC 9457 problem+json.

    Args:
        detail: one sentence for the reader; the title if empty.
        field: the field of the body that is wrong, if one is.
        allow: methods for the Allow header of a 405.
    """
    status, title = CODES[code]
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "code": code,
        "detail": detail or title,
    }
    if field:
        body["field"] = field
    headers = [f"allow: {allow}"] if allow else []
    if code in RETRY_AFTER_S:
        headers.append(f"retry-after: {RETRY_AFTER_S[code]}")
    if status == 401:
        headers.append("www-authenticate: Bearer")
    return response(status, "application/problem+json", msgspec.json.encode(body), *headers)


PROBLEMS: Final = {code: problem(code) for code, (status, _) in CODES.items() if status in REASONS}
HEALTHY: Final = response(200, "application/json", b'{"status":"ok"}')


def readiness(checks: dict[str, str]) -> bytes:
    """200 if every check says ok, else 503, with the checks by name."""
    ready = all(state == "ok" for state in checks.values())
    body = {"status": "ok" if ready else "not_ready", "checks": checks}
    return response(200 if ready else 503, "application/json", msgspec.json.encode(body))


def closing(answer: bytes) -> bytes:
    """The same answer, telling the client that the connection ends after it."""
    return answer.replace(END, b"\r\nconnection: close\r\n\r\n", 1)


def without_body(answer: bytes) -> bytes:
    """The same answer as HEAD gets it."""
    return answer[: answer.index(END) + len(END)]


# The 202 of one request is `prefixes(batch_id)[index] + TAILS[index]`: one concatenation.
TAILS: Final = [b'%d","state":"queued"}' % index for index in range(BATCH_USERS_MAX)]
_DIGITS: Final = [len(b"%d" % index) for index in range(BATCH_USERS_MAX)]


class Accepted:
    """The 202s of one confirmed batch, by index."""

    __slots__ = ("_prefixes",)

    def __init__(self, batch_id: str) -> None:
        start = b'{"request_id":"%s.' % batch_id.encode()
        ordinary = response(202, "application/json", b"")
        head, tail = ordinary.split(b"content-length: 0")
        self._prefixes = [b""] + [
            b"%scontent-length: %d%s%s"
            % (head, len(start) + digits + len(TAILS[0]) - 1, tail, start)
            for digits in (1, 2, 3)
        ]

    def __getitem__(self, index: int) -> bytes:
        return self._prefixes[_DIGITS[index]] + TAILS[index]
