"""The HTTP request that opens a socket: parsed, judged and answered, without I/O.

A connection carries one request: an upgrade, or something small that is answered and closed. So
nothing after the head matters here, and there is no body to be confused about.
"""

import re
from typing import Final, NamedTuple

import msgspec

from miaosha.domain.errors import CODES
from miaosha.gateway import engineio, websocket
from miaosha.gateway.engineio import Failure

HEADERS_MAX: Final = 64

_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([\t\x20-\x7e\x80-\xff]*)")
_REQUEST = re.compile(rb"([A-Z]{1,16}) (/[\x21-\x7e]*) HTTP/1\.([01])")
_ONCE: Final = frozenset(
    {b"host", b"origin", b"sec-websocket-key", b"sec-websocket-version", b"content-length"}
)
_STATUS: Final = {
    200: b"OK",
    400: b"Bad Request",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    426: b"Upgrade Required",
    431: b"Request Header Fields Too Large",
    503: b"Service Unavailable",
}


class BadHead(Exception):
    """The bytes are no HTTP/1.1 request head."""


class Request(NamedTuple):
    """`headers` by lower-case name; `query` is not unescaped (nothing we read needs it)."""

    method: bytes
    path: bytes
    query: dict[bytes, bytes]
    headers: dict[bytes, bytes]


class Upgrade(NamedTuple):
    """A request that may become a WebSocket; `response` is the 101."""

    response: bytes


class Refusal(NamedTuple):
    """`response` ends the connection."""

    response: bytes


class Rules(NamedTuple):
    """What a handshake must fit. `origins` empty: none is allowed; {"*"}: all are."""

    path: bytes
    origins: frozenset[str]


def parse(head: bytes) -> Request:
    """The request of a head (without its final empty line). Raises BadHead."""
    first, *lines = head.split(b"\r\n")
    line = _REQUEST.fullmatch(first)
    if line is None or len(lines) > HEADERS_MAX:
        raise BadHead("request line or number of headers")
    headers: dict[bytes, bytes] = {}
    for text in lines:
        match = _LINE.fullmatch(text)
        if match is None:
            raise BadHead("header line")
        name, value = match[1].lower(), match[2].strip(b" \t")
        if name in headers:
            if name in _ONCE:
                raise BadHead("a header came twice")
            value = headers[name] + b", " + value
        headers[name] = value
    path, _, query = line[2].partition(b"?")
    pairs = (pair.partition(b"=") for pair in query.split(b"&"))
    return Request(line[1], path, {key: value for key, _, value in pairs}, headers)


def judge(request: Request, rules: Rules) -> Upgrade | Refusal:
    """Whether this request opens a WebSocket session of Engine.IO v4."""
    if request.path.rstrip(b"/") != rules.path.rstrip(b"/"):
        return problem("not_found")
    if not origin_allowed(request.headers.get(b"origin"), rules.origins):
        return engine_refusal(Failure.FORBIDDEN, 403)
    if request.query.get(b"EIO") != engineio.PROTOCOL:
        return engine_refusal(Failure.VERSION)
    if request.query.get(b"transport") != b"websocket":
        return engine_refusal(Failure.TRANSPORT)
    if b"sid" in request.query:
        return engine_refusal(Failure.SESSION)
    if request.method != b"GET":
        return engine_refusal(Failure.METHOD)
    return _upgrade(request.headers)


def _upgrade(headers: dict[bytes, bytes]) -> Upgrade | Refusal:
    asks = b"websocket" in _tokens(headers.get(b"upgrade", b""))
    if not asks or b"upgrade" not in _tokens(headers.get(b"connection", b"")):
        return engine_refusal(Failure.REQUEST)
    if headers.get(b"sec-websocket-version") != b"13":
        wanted = b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        return Refusal(render(426, engineio.failure_body(Failure.REQUEST), wanted))
    accept = websocket.accept_key(headers.get(b"sec-websocket-key", b""))
    if accept is None or b"host" not in headers:
        return engine_refusal(Failure.REQUEST)
    return Upgrade(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


def _tokens(value: bytes) -> list[bytes]:
    return [token.strip() for token in value.lower().split(b",")]


def origin_allowed(origin: bytes | None, origins: frozenset[str]) -> bool:
    """No Origin header: not a browser, hence allowed."""
    if origin is None or "*" in origins:
        return True
    return normal_origin(origin.decode("latin-1")) in origins


def normal_origin(url: str) -> str:
    """`scheme://host[:port]` of a URL in lower case, without a default port."""
    scheme, _, rest = url.strip().lower().partition("://")
    host = rest.split("/", 1)[0]
    default = {"http": ":80", "https": ":443"}.get(scheme, "")
    return f"{scheme}://{host.removesuffix(default) if default else host}"


def listed_origins(public_url: str, allowed_origins: str, port: int) -> frozenset[str]:
    """The public URL, localhost on the same port, and a comma-separated list (`*`: every one)."""
    extra = [origin.strip() for origin in allowed_origins.split(",") if origin.strip()]
    local = [f"http://{host}:{port}" for host in ("localhost", "127.0.0.1", "[::1]")]
    listed = {normal_origin(url) for url in (public_url, *local, *extra) if url != "*"}
    return frozenset(listed | ({"*"} if "*" in extra else set()))


def render(status: int, body: bytes, headers: bytes = b"", kind: bytes = b"json") -> bytes:
    """An HTTP/1.1 response that closes the connection."""
    return (
        b"HTTP/1.1 %d %b\r\nContent-Type: application/%b\r\nContent-Length: %d\r\n"
        b"Cache-Control: no-store\r\n%bConnection: close\r\n\r\n%b"
    ) % (status, _STATUS[status], kind, len(body), headers, body)


def engine_refusal(failure: tuple[int, str], status: int = 400) -> Refusal:
    return Refusal(render(status, engineio.failure_body(failure)))


def problem(code: str, retry_after_s: int | None = None, *, allow: str = "") -> Refusal:
    """A problem+json answer with a code of domain/errors.py; `allow`: the methods a 405 names."""
    status, title = CODES[code]
    body = {"type": "about:blank", "title": title, "status": status, "code": code}
    headers = b"" if retry_after_s is None else b"Retry-After: %d\r\n" % retry_after_s
    if allow:
        headers += b"Allow: %b\r\n" % allow.encode()
    return Refusal(render(status, msgspec.json.encode(body), headers, b"problem+json"))
