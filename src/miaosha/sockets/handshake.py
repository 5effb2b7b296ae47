"""Handshake: the HTTP requests of sockets, parsed and judged; their responses, rendered. No I/O.

A request is an upgrade, one of long polling (`polling_http` reads its body), or one that gets a
short response and a closed connection. `parse` alone decides where a request ends: the body of the
request it returns has a known length, and only a POST has a body.
"""

import re
from typing import Final, NamedTuple

from miaosha.serving import http_response
from miaosha.sockets import engine_packets, frames
from miaosha.sockets.engine_packets import Failure

HEADERS_MAX: Final = 64
LENGTH_DIGITS_MAX: Final = 18  # of a Content-Length

_LINES = re.compile(rb"(?:\r\n[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t\x20-\x7e\x80-\xff]*+)*+")
_HEADER = re.compile(rb"\r\n([^:]+):[\t ]*([^\r]*)")
_REQUEST = re.compile(rb"([A-Z]{1,16}) (/[\x21-\x7e]*) HTTP/1\.([01])")
_ONCE: Final = frozenset(
    {b"host", b"origin", b"sec-websocket-key", b"sec-websocket-version", b"content-length"}
)
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding", b"expect"})


class BadHead(Exception):
    """Not a request that can be served. The connection must end: where the next request begins is
    not known.

    Args:
        why: for debugging.
        code: of domain/errors.py, for the client.
    """

    def __init__(self, why: str, code: str = "bad_request") -> None:
        super().__init__(why)
        self.code = code


class Request(NamedTuple):
    """`headers` by lower-case name; `query` is not unescaped (no value that is read needs it).
    `length`: bytes of body behind the head; 0 for every method but POST."""

    method: bytes
    path: bytes
    query: dict[bytes, bytes]
    headers: dict[bytes, bytes]
    minor: bytes  # of HTTP/1.x
    length: int

    @property
    def keeps(self) -> bool:
        """Whether the client may send another request on this connection. Not after it asked for
        another protocol: bytes of that one may already follow the head."""
        said = _tokens(self.headers.get(b"connection", b""))
        return self.minor == b"1" and b"close" not in said and b"upgrade" not in said


class Upgrade(NamedTuple):
    """A request that may become a WebSocket. `response` is the 101; `sid` is the session it would
    carry, b"" for a new one."""

    response: bytes
    sid: bytes


class Polled(NamedTuple):
    """A request of long polling: a GET without `sid` opens a session, otherwise it is of one."""

    method: bytes
    sid: bytes


class Rejection(NamedTuple):
    """`response` ends the connection."""

    response: bytes


class Rules(NamedTuple):
    """What a handshake must fit. `origins` empty: none is allowed; {"*"}: all are."""

    path: bytes
    origins: frozenset[str]


def parse(head: bytes) -> Request:
    """The request of a head (without its final empty line).

    Raises:
        BadHead: it is no head of HTTP/1.0 or 1.1, its body's length is not certain, or it has a
            body although it is no POST.
    """
    first = head.partition(b"\r\n")[0]
    line = _REQUEST.fullmatch(first)
    if line is None or head.count(b"\r\n") > HEADERS_MAX:
        raise BadHead("request line or number of headers")
    if _LINES.fullmatch(head, len(first)) is None:
        raise BadHead("header line")
    found = _HEADER.findall(head, len(first))
    headers = {name.lower(): value.rstrip(b" \t") for name, value in found}
    if len(headers) < len(found):
        headers = _joined(found)
    path, _, query = line[2].partition(b"?")
    pairs = (pair.partition(b"=") for pair in query.split(b"&"))
    named = {key: value for key, _, value in pairs}
    return Request(line[1], path, named, headers, line[3], _length(line[1], headers))


def _length(method: bytes, headers: dict[bytes, bytes]) -> int:
    """Bytes of the body. Raises BadHead if readers could disagree, or no handler reads one."""
    if headers.keys().isdisjoint(_FRAMING):
        return 0
    post = method == b"POST"
    if b"transfer-encoding" in headers:
        raise BadHead("chunks are not read", "length_required" if post else "bad_request")
    text = headers.get(b"content-length", b"0")
    if not text.isdigit() or len(text) > LENGTH_DIGITS_MAX:
        raise BadHead("Content-Length")
    length = int(text)
    if length and not post:
        raise BadHead("a body where none is read")
    if b"expect" in headers:
        raise BadHead("Expect", "expectation_failed")
    return length


def _joined(found: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Headers, with repeated ones joined. Raises BadHead for one that must come once."""
    headers: dict[bytes, bytes] = {}
    for text, value in found:
        name, value = text.lower(), value.rstrip(b" \t")
        if name in headers:
            if name in _ONCE:
                raise BadHead("a header came twice")
            value = headers[name] + b", " + value
        headers[name] = value
    return headers


def judge(request: Request, rules: Rules) -> Upgrade | Polled | Rejection:
    """Decide whether a request is one of Engine.IO v4, and of which transport."""
    if request.path.rstrip(b"/") != rules.path.rstrip(b"/"):
        return problem("not_found")
    if not origin_allowed(request.headers.get(b"origin"), rules.origins):
        return engine_rejection(Failure.FORBIDDEN, 403)
    query = request.query
    transport, sid = query.get(b"transport"), query.get(b"sid", b"")
    if transport == b"polling" and request.method == b"OPTIONS":
        return Polled(request.method, sid)
    if query.get(b"EIO") != engine_packets.PROTOCOL:
        return engine_rejection(Failure.VERSION)
    if transport == b"websocket" and request.method == b"GET":
        return _upgrade(request, sid)
    if transport != b"polling" and transport != b"websocket":
        return engine_rejection(Failure.TRANSPORT)
    if request.method == b"GET" or (request.method == b"POST" and sid):
        return Polled(request.method, sid)
    return engine_rejection(Failure.METHOD)


def _upgrade(request: Request, sid: bytes) -> Upgrade | Rejection:
    headers = request.headers
    asks = b"websocket" in _tokens(headers.get(b"upgrade", b""))
    asks = asks and b"upgrade" in _tokens(headers.get(b"connection", b""))
    if not asks or request.minor == b"0":  # 1.0 knows no upgrade
        return engine_rejection(Failure.REQUEST)
    if headers.get(b"sec-websocket-version") != b"13":
        wanted = b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        return engine_rejection(Failure.REQUEST, 426, wanted)
    accept = frames.accept_key(headers.get(b"sec-websocket-key", b""))
    if accept is None or b"host" not in headers:
        return engine_rejection(Failure.REQUEST)
    return Upgrade(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n",
        sid,
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


def unfit_body(request: Request, bytes_max: int) -> str:
    """Why the body of a POST is not read, as a code of domain/errors.py; "" if it is."""
    if b"content-length" not in request.headers:
        return "length_required"
    return "too_large" if request.length > bytes_max else ""


def cors(request: Request) -> bytes:
    """The headers that let a page of an allowed origin read the response."""
    origin = request.headers.get(b"origin")
    if origin is None:
        return b""
    return b"Access-Control-Allow-Origin: %b\r\nVary: Origin\r\n" % origin


def engine_rejection(
    failure: tuple[int, str], status: int = 400, headers: bytes = b""
) -> Rejection:
    body = engine_packets.failure_body(failure)
    return Rejection(http_response.response(status, body, headers, keep=False))


def problem(code: str, retry_after_s: int | None = None, *, allow: str = "") -> Rejection:
    """A problem+json answer that ends the connection; see `http_response.problem`."""
    return Rejection(
        http_response.problem(code, retry_after_s=retry_after_s, allow=allow, keep=False)
    )
