"""A long-polling client by hand, on connections that are kept, against any server."""

import asyncio
import contextlib
from typing import NamedTuple

import msgspec

from tests.sockets.wire import DEADLINE_S, Listens


class Answer(NamedTuple):
    status: int
    head: bytes
    body: bytes


class Http:
    """One kept connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def dial(cls, world: Listens) -> "Http":
        return cls(*await asyncio.open_connection(*world.address))

    def send(self, request: bytes) -> None:
        self.writer.write(request)

    async def answer(self) -> Answer:
        async with asyncio.timeout(DEADLINE_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            return Answer(int(head.split()[1]), head, await self.reader.readexactly(length))

    async def ask(self, request: bytes) -> Answer:
        self.send(request)
        return await self.answer()

    async def eof(self) -> bytes:
        return await asyncio.wait_for(self.reader.read(), DEADLINE_S)

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


def get(sid: str, extra: bytes = b"") -> bytes:
    query = b"EIO=4&transport=polling" + (b"&sid=" + sid.encode() if sid else b"")
    return b"GET /socket.io/?" + query + b" HTTP/1.1\r\nHost: x\r\n" + extra + b"\r\n"


def post(sid: str, body: bytes, extra: bytes = b"") -> bytes:
    head = b"POST /socket.io/?EIO=4&transport=polling&sid=%b HTTP/1.1\r\nHost: x\r\n" % sid.encode()
    return head + extra + b"Content-Length: %d\r\n\r\n" % len(body) + body


def upgrade(sid: str, head: bytes) -> bytes:
    """The request of `wire.HEAD` for this session."""
    return (
        head.replace(b"transport=websocket", b"transport=websocket&sid=" + sid.encode()) + b"\r\n"
    )


async def opened(http: Http) -> str:
    """A new session's sid."""
    answer = await http.ask(get(""))
    assert answer.status == 200, answer
    return str(msgspec.json.decode(answer.body[1:])["sid"])


async def connected(http: Http, token: str | None = None) -> str:
    """A session that is connected to `/`."""
    sid = await opened(http)
    auth = msgspec.json.encode({"token": token}) if token else b""
    assert (await http.ask(post(sid, b"40" + auth))).body == b"ok"
    assert (await http.ask(get(sid))).body.startswith(b"40{")
    return sid
