"""RequestReader: the half of a connection that faces the parser, and the framing it refuses.

llhttp parses, and refuses what two readers could read in two ways: conflicting lengths, folded
headers, bare line ends. This adds limits, and refuses what a purchase does not need: chunked
bodies, Expect, two of a header that must come once. After such a fault the stream cannot be
trusted. So `RequestRefused` is raised out of the parser, and the connection ends.
"""

from typing import Final

from httptools import HttpRequestParser

HOST, AUTH, TYPE, LENGTH, CODING, EXPECT, CONNECTION, DOUBLE = (1 << n for n in range(8))
BITS: Final = {
    b"host": HOST,
    b"authorization": AUTH,
    b"content-type": TYPE,
    b"content-length": LENGTH,
    b"transfer-encoding": CODING,
    b"expect": EXPECT,
    b"connection": CONNECTION,
}
ONCE: Final = HOST | AUTH | TYPE
ODD: Final = CODING | EXPECT | CONNECTION | DOUBLE
VERSIONS: Final = ("1.0", "1.1")


class RequestRefused(Exception):
    """Stops the parser: the code says with which answer the connection ends."""


class RequestReader:
    """The request that is being read, or was read just now.

    Args:
        header_max: bytes of a head at most (request target, names and values).
        body_max: bytes of a body at most.

    Attributes:
        url: the request target as sent.
        authorization, content_type: header values, None without the header.
        length: the Content-Length, -1 without one.
        in_head: a head has begun and not ended.
    """

    __slots__ = (
        "_body_max",
        "_header_max",
        "_left",
        "_parser",
        "_seen",
        "authorization",
        "body",
        "content_type",
        "in_head",
        "length",
        "url",
    )

    def __init__(self, header_max: int, body_max: int) -> None:
        self._header_max = header_max
        self._body_max = body_max
        self._parser = HttpRequestParser(self)
        self.begin()
        self.in_head = False

    def begin(self) -> None:
        """Forget the last request."""
        self.url = b""
        self.body = b""
        self.authorization: bytes | None = None
        self.content_type: bytes | None = None
        self.length = -1
        self.in_head = True
        self._seen = 0
        self._left = self._header_max

    def method(self) -> bytes:
        method: bytes = self._parser.get_method()
        return method

    def is_last(self) -> bool:
        """Returns whether the connection ends with this request: it says so, is HTTP/1.0, or asks
        for another protocol. It does not get that, and its body is not read.

        Raises:
            RequestRefused: an unknown version.
        """
        parser = self._parser
        if not self._seen & CONNECTION and parser.should_keep_alive():
            return False
        version = parser.get_http_version()
        if version not in VERSIONS:
            raise RequestRefused("bad_request")
        return version == "1.0" or not parser.should_keep_alive() or parser.should_upgrade()

    # called by the parser

    def on_url(self, url: bytes) -> None:
        self.url += url
        self._left -= len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._left -= len(name) + len(value) + 4
        bit = BITS.get(name.lower())
        if bit is None:
            return
        if self._seen & bit & ONCE:
            self._seen |= DOUBLE
        self._seen |= bit
        if bit == AUTH:
            self.authorization = value
        elif bit == TYPE:
            self.content_type = value
        elif bit == LENGTH:
            self.length = int(value)  # llhttp has seen that it is digits, and the only one

    def on_headers_complete(self) -> None:
        self.in_head = False
        seen = self._seen
        if seen & ODD or not seen & HOST or self._left < 0 or self.length > self._body_max:
            self._examine(seen)

    def on_body(self, body: bytes) -> None:
        self.body += body

    def _examine(self, seen: int) -> None:
        """The rare heads: refuse what is wrong with this one, if anything is."""
        version = self._parser.get_http_version()
        if self._left < 0:
            raise RequestRefused("headers_too_large")
        if seen & DOUBLE or version not in VERSIONS:
            raise RequestRefused("bad_request")
        if version == "1.1" and not seen & HOST:
            raise RequestRefused("bad_request")
        if seen & CODING:
            raise RequestRefused("length_required")
        if seen & EXPECT:
            raise RequestRefused("expectation_failed")
        if self.length > self._body_max:
            raise RequestRefused("too_large")
