"""Responses: HTTP/1.1 answers as bytes, and errors as problem+json (RFC 9457).

Every answer has its length and `no-store`. The API's answers are its framework's; their problems
have the same body.
"""

from http import HTTPStatus
from typing import Any, Final

import msgspec

from miaosha.domain.errors import CODES, RETRY_AFTER_S

JSON: Final = b"application/json"
PROBLEM_JSON: Final = b"application/problem+json"
_PHRASES: Final = {int(status): status.phrase.encode() for status in HTTPStatus}


def response(
    status: int, body: bytes, headers: bytes = b"", kind: bytes = JSON, *, keep: bool = True
) -> bytes:
    """A whole answer.

    Args:
        headers: further header lines, each with its line end.
        kind: the media type of `body`.
        keep: False: the connection ends after it, and the answer says so.
    """
    return (
        b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n"
        b"Cache-Control: no-store\r\n%b%b\r\n%b"
    ) % (
        status,
        _PHRASES[status],
        kind,
        len(body),
        headers,
        b"" if keep else b"Connection: close\r\n",
        body,
    )


def problem_body(code: str, detail: str = "", field: str = "") -> bytes:
    """The problem details of a code of `CODES`.

    Args:
        detail: one sentence for the reader; the code's title if empty.
        field: the field of the request that is wrong, if one is.
    """
    status, title = CODES[code]
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "code": code,
        "detail": detail or title,
    }
    return msgspec.json.encode(body | {"field": field} if field else body)


def problem(
    code: str,
    detail: str = "",
    *,
    field: str = "",
    allow: str = "",
    retry_after_s: int | None = None,
    keep: bool = True,
) -> bytes:
    """The answer for a code of `CODES`; `detail` and `field` as in `problem_body`.

    Args:
        allow: the methods that a 405 names.
        retry_after_s: default: that of RETRY_AFTER_S, if it has one.
        keep: as in `response`.
    """
    status = CODES[code][0]
    wait_s = RETRY_AFTER_S.get(code) if retry_after_s is None else retry_after_s
    headers = b"" if wait_s is None else b"Retry-After: %d\r\n" % wait_s
    if allow:
        headers += b"Allow: %b\r\n" % allow.encode()
    if status == HTTPStatus.UNAUTHORIZED:
        headers += b"WWW-Authenticate: Bearer\r\n"
    return response(status, problem_body(code, detail, field), headers, PROBLEM_JSON, keep=keep)
