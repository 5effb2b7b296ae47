"""A Socket.IO server that does what its fault says, written without the gateway's code."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
UPGRADED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: " + ACCEPT + b"\r\n\r\n"
)
OPEN = b'0{"sid":"x","upgrades":[],"pingInterval":100,"pingTimeout":100,"maxPayload":4096}'


def framed(payload: bytes, opcode: int = 1) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    return bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big") + payload


class Faulty:
    """`fault`: "" for none; `writers` are the sockets that watch, in the order they came; after
    `most` of them nobody is answered.

    mute: takes the connection and never answers · refuse: 503 · accept: a wrong accept key ·
    garbage: masked bytes · deny: CONNECT_ERROR · unwatch: the watch is refused · drop: closes who
    watches · restart: says 1012 to who watches · slow: every byte in a segment of its own ·
    patient: pings seldom
    """

    def __init__(self, fault: str, most: int = 1_000_000) -> None:
        self.fault = fault
        self.most = most
        self.came = 0
        self.writers: list[asyncio.StreamWriter] = []
        self.port = 0
        self.pongs = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            self.came += 1
            if self.came > self.most:
                await reader.read()
            await self._handshake(reader, writer)
            while await self._frame(reader) == b"3":
                self.pongs += 1
        writer.close()

    @property
    def _open(self) -> bytes:
        return OPEN.replace(b":100,", b":60000,") if self.fault == "patient" else OPEN

    async def _handshake(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        match self.fault:
            case "mute":
                await reader.read()
            case "refuse":
                writer.write(b"HTTP/1.1 503 Busy\r\nRetry-After: 0\r\n\r\n")
                raise ConnectionError
            case "accept":
                writer.write(UPGRADED.replace(ACCEPT, b"x" * 28))
            case "garbage":
                writer.write(UPGRADED + b"\x81\xff\0\0\0\0")
            case _:
                await self._say(writer, UPGRADED + framed(self._open))
        asked = await self._frame(reader)
        assert asked.startswith(b"40")
        if self.fault == "deny":
            await self._say(writer, framed(b'44{"message":"no","data":{"code":"unauthorized"}}'))
        else:
            await self._say(writer, framed(b'40{"sid":"y"}'))
        ok = b"false" if self.fault == "unwatch" else b"true"
        said = b'{"ok":%b,"code":"not_found"}' % ok
        if b'"watch":' in asked:
            await self._say(writer, framed(b'42["watched",%b]' % said))
        else:
            assert b'"watch"' in await self._frame(reader)
            await self._say(writer, framed(b"430[%b]" % said))
        self.writers.append(writer)
        if self.fault == "drop":
            raise ConnectionError
        if self.fault == "restart":
            writer.write(framed(b"\x03\xf4restart; retry=1000", 8))

    async def _say(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        if self.fault != "slow":
            writer.write(data)
            return
        for byte in data:
            writer.write(bytes((byte,)))
            await writer.drain()

    async def _frame(self, reader: asyncio.StreamReader) -> bytes:
        _, size = await reader.readexactly(2)
        size &= 127
        if size == 126:
            size = int.from_bytes(await reader.readexactly(2), "big")
        mask = await reader.readexactly(4)
        assert mask == b"\0\0\0\0"
        return await reader.readexactly(size)


@asynccontextmanager
async def faulty(fault: str = "", most: int = 1_000_000) -> AsyncIterator[Faulty]:
    server = Faulty(fault, most)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for writer in server.writers:
            writer.close()
