"""Requests that hide a second one behind them, in every way a body may be announced or denied.

A server that answers the hidden request has read the first one's end in another place than its
sender meant; behind a proxy the answer then goes to a stranger. `WAYS` are the framings, `METHODS`
what they are tried with, `Dialogue` a connection that looks for a second answer.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

DEADLINE_S: Final = 10.0
METHODS: Final = (
    b"GET",
    b"HEAD",
    b"POST",
    b"PUT",
    b"PATCH",
    b"DELETE",
    b"OPTIONS",
    b"TRACE",
    b"CONNECT",
    b"BREW",
)
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([0-9]{3}) ")
_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: *([0-9]+)\r\n")
_CLOSE: Final = re.compile(rb"(?i)\r\nconnection: *close\r\n")


class Way(NamedTuple):
    """How a body is announced; in both parts <n> is its length, <x> the same in hexadecimal, and
    <m> the hidden request."""

    headers: bytes
    behind: bytes = b"<m>"
    version: bytes = b"1.1"


LENGTH: Final = b"Content-Length: <n>"
CHUNKED: Final = b"Transfer-Encoding: chunked"
CHUNKS: Final = b"<x>\r\n<m>\r\n0\r\n\r\n"
CLOSED: Final = b"0\r\n\r\n<m>"  # for whoever reads chunks the hidden one comes behind the body

# Every reader that knows HTTP/1.1 agrees where these end.
HONEST: Final = {
    "a length": Way(LENGTH),
    "a length with zeros before": Way(b"Content-Length: 00<n>"),
    "a length between blanks": Way(b"Content-Length: \t <n> \t"),
    "a length in another case": Way(b"cONTENT-lENGTH:<n>"),
    "a length that Connection names": Way(LENGTH + b"\r\nConnection: content-length, keep-alive"),
    "a length, and Expect": Way(LENGTH + b"\r\nExpect: 100-continue"),
    "a length, and another Expect": Way(LENGTH + b"\r\nExpect: tea"),
    "a length, and an upgrade": Way(
        LENGTH
        + b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13"
        + b"\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    ),
    "a length, and h2c": Way(
        LENGTH + b"\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMA"
    ),
    "chunks": Way(CHUNKED, CHUNKS),
    "chunks in another case": Way(b"transfer-ENCODING:Chunked", CHUNKS),
    "chunks that Connection names": Way(CHUNKED + b"\r\nConnection: transfer-encoding", CHUNKS),
    "chunks with an extension": Way(CHUNKED, b"<x>;a=b\r\n<m>\r\n0;c\r\n\r\n"),
    "chunks with a long extension": Way(CHUNKED, b"<x>;" + b"a" * 3_000 + b"\r\n<m>\r\n0\r\n\r\n"),
    "chunks with zeros before": Way(CHUNKED, b"000<x>\r\n<m>\r\n000\r\n\r\n"),
    "chunks with a trailer": Way(CHUNKED, b"<x>\r\n<m>\r\n0\r\nContent-Length: 9\r\n\r\n"),
    "chunks, and Expect": Way(CHUNKED + b"\r\nExpect: 100-continue", CHUNKS),
}

# These are read in different ways, or ought not to be read at all.
DISPUTED: Final = {
    "a length and chunks": Way(LENGTH + b"\r\n" + CHUNKED, CLOSED),
    "chunks and a length": Way(CHUNKED + b"\r\n" + LENGTH, CLOSED),
    "chunks and a short length": Way(CHUNKED + b"\r\nContent-Length: 4", CHUNKS),
    "a length of 0 and chunks": Way(b"Content-Length: 0\r\n" + CHUNKED, CHUNKS),
    "a length and an unknown coding": Way(LENGTH + b"\r\nTransfer-Encoding: xchunked"),
    "the same length twice": Way(LENGTH + b"\r\n" + LENGTH),
    "a length, then 0": Way(LENGTH + b"\r\nContent-Length: 0"),
    "0, then a length": Way(b"Content-Length: 0\r\n" + LENGTH),
    "0 twice": Way(b"Content-Length: 0\r\nContent-Length: 0"),
    "a list of one length": Way(b"Content-Length: <n>, <n>"),
    "a list that begins with 0": Way(b"Content-Length: 0, <n>"),
    "a list that ends with 0": Way(b"Content-Length: <n>,0"),
    "a length with a comma": Way(b"Content-Length: <n>,"),
    "a positive length": Way(b"Content-Length: +<n>"),
    "a negative length": Way(b"Content-Length: -<n>"),
    "a negative 0": Way(b"Content-Length: -0"),
    "a positive 0": Way(b"Content-Length: +0"),
    "a length with a blank inside": Way(b"Content-Length: 0 <n>"),
    "a length in hexadecimal": Way(b"Content-Length: 0x<x>"),
    "a length with an underscore": Way(b"Content-Length: 0_<n>"),
    "a length with a point": Way(b"Content-Length: <n>.0"),
    "a length with an exponent": Way(b"Content-Length: 1e2"),
    "a length beyond 64 bits": Way(b"Content-Length: 18446744073709551616"),
    "a length that is none": Way(b"Content-Length: none"),
    "an empty length": Way(b"Content-Length:"),
    "a length in digits of another script": Way("Content-Length: \u0661\u0662".encode()),
    "a length behind a vertical tab": Way(b"Content-Length: \x0b<n>"),
    "a length behind a NUL": Way(b"Content-Length: <n>\x00"),
    "a length behind a no-break space": Way(b"Content-Length: \xa0<n>"),
    "a blank before the length's colon": Way(b"Content-Length : <n>"),
    "a tab before the length's colon": Way(b"Content-Length\t: <n>"),
    "a folded length": Way(b"Content-Length:\r\n <n>"),
    "a length folded to another": Way(b"X-A: b\r\n Content-Length: <n>"),
    "a length behind a bare CR": Way(b"X-A: b\rContent-Length: <n>"),
    "an unknown coding": Way(b"Transfer-Encoding: gzip"),
    "a coding that is almost chunked": Way(b"Transfer-Encoding: xchunked", CHUNKS),
    "chunked twice": Way(b"Transfer-Encoding: chunked, chunked", CHUNKS),
    "chunked, then another": Way(b"Transfer-Encoding: chunked, identity", CHUNKS),
    "another, then chunked": Way(b"Transfer-Encoding: gzip, chunked", CHUNKS),
    "identity": Way(b"Transfer-Encoding: identity"),
    "two codings": Way(CHUNKED + b"\r\n" + CHUNKED, CHUNKS),
    "two different codings": Way(b"Transfer-Encoding: identity\r\n" + CHUNKED, CHUNKS),
    "an empty coding": Way(b"Transfer-Encoding:"),
    "chunked with a parameter": Way(b"Transfer-Encoding: chunked;q=1", CHUNKS),
    "chunked in quotes": Way(b'Transfer-Encoding: "chunked"', CHUNKS),
    "chunked behind a vertical tab": Way(b"Transfer-Encoding: \x0bchunked", CHUNKS),
    "chunked before a NUL": Way(b"Transfer-Encoding: chunked\x00", CHUNKS),
    "a blank before the coding's colon": Way(b"Transfer-Encoding : chunked", CHUNKS),
    "a folded coding": Way(b"Transfer-Encoding:\r\n chunked", CHUNKS),
    "a coding behind a bare CR": Way(b"X-A: b\rTransfer-Encoding: chunked", CHUNKS),
    "chunks in 1.0": Way(CHUNKED + b"\r\nConnection: keep-alive", CHUNKS, b"1.0"),
    "a length and chunks in 1.0": Way(
        LENGTH + b"\r\n" + CHUNKED + b"\r\nConnection: keep-alive", CLOSED, b"1.0"
    ),
    "a length in 2.0": Way(LENGTH, version=b"2.0"),
    "a length in 1.2": Way(LENGTH, version=b"1.2"),
    "a chunk whose size is signed": Way(CHUNKED, b"+<x>\r\n<m>\r\n0\r\n\r\n"),
    "a chunk whose size is long": Way(CHUNKED, b"ffffffffffffffff1\r\n<m>\r\n0\r\n\r\n"),
    "a chunk longer than its size": Way(CHUNKED, b"1\r\n<m>\r\n0\r\n\r\n"),
    "a chunk without a size": Way(CHUNKED, b"\r\n<m>\r\n0\r\n\r\n"),
}

# In 1.0 a connection ends with the first answer, whatever it says of keeping it.
LAST: Final = {
    "a length in 1.0": Way(LENGTH + b"\r\nConnection: keep-alive", version=b"1.0"),
    "nothing in 1.0": Way(b"Connection: keep-alive", version=b"1.0"),
    "nothing, and close": Way(b"Connection: close"),
    "nothing, and h2c": Way(
        b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMA"
    ),
}
# Line ends that a role refuses; nginx takes them, and sends the roles what it has understood.
BARE: Final = {
    "a length behind a bare LF": Way(b"X-A: b\n" + LENGTH),
    "a coding behind a bare LF": Way(b"X-A: b\n" + CHUNKED, CHUNKS),
}
WAYS: Final = HONEST | DISPUTED | LAST | BARE


def hiding(way: Way, method: bytes, target: bytes, hidden: bytes, more: bytes = b"") -> bytes:
    """A request of `method` for `target` with `hidden` behind it.

    Args:
        more: further header lines, each with its line end.
    """
    values = {b"<n>": b"%d" % len(hidden), b"<x>": b"%x" % len(hidden), b"<m>": hidden}
    head = b"%b %b HTTP/%b\r\nHost: localhost\r\n%b" % (method, target, way.version, more)

    def filled(part: bytes) -> bytes:
        return re.sub(rb"<[nxm]>", lambda found: values[found[0]], part)

    return head + filled(way.headers) + b"\r\n\r\n" + filled(way.behind)


class Answer(NamedTuple):
    status: int
    head: bytes
    body: bytes

    @property
    def closes(self) -> bool:
        """Does the connection end with it?"""
        said_so = _CLOSE.search(self.head) is not None
        return said_so or not self.head or self.head.startswith(b"HTTP/1.0 ")


class Dialogue:
    """One connection. Everything the server says on it is an answer to what was asked, or fails."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    @asynccontextmanager
    async def on(
        cls, connecting: Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]
    ) -> AsyncIterator["Dialogue"]:
        """Closed at the end of the context."""
        reader, writer = await connecting
        try:
            yield cls(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def ask(self, request: bytes) -> Answer:
        """The final answer to a request (100 Continue is passed over). Status 0: no head came,
        but the end, as in HTTP/0.9."""
        self._writer.write(request)
        async with asyncio.timeout(DEADLINE_S):
            try:
                head = await self._reader.readuntil(b"\r\n\r\n")
                while head.startswith((b"HTTP/1.1 100 ", b"HTTP/1.0 100 ")):
                    head = await self._reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError as ended:
                assert _STATUS_LINE.search(ended.partial) is None
                return Answer(0, b"", ended.partial)
            status = int(head.split()[1])
            length = _LENGTH.search(head)
            if Answer(status, head, b"").closes:
                body = await self._rest()
                assert _STATUS_LINE.search(body) is None, "somebody else was answered, too"
            elif request.startswith(b"HEAD ") or status in (204, 304):
                body = b""
            else:
                assert length is not None, head
                body = await self._reader.readexactly(int(length[1]))
        return Answer(status, head, body)

    async def _rest(self) -> bytes:
        """What comes until the server hangs up; it may do so with input unread."""
        said = b""
        try:
            while part := await self._reader.read(65_536):
                said += part
        except ConnectionError:
            pass
        return said


def every(*ways: dict[str, Way]) -> Iterator[tuple[bytes, str, Way]]:
    """Every method in every way."""
    for method in METHODS:
        for group in ways:
            for name, way in group.items():
                yield method, name, way
