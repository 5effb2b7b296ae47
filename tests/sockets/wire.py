"""A client that speaks frames by hand, to say what no library would."""

import asyncio
import contextlib
import os
from typing import Any, Protocol

import msgspec

DEADLINE_S = 10.0
HEAD = (
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\n"
    b"Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


def masked(payload: bytes, opcode: int = 1, *, final: bool = True, rsv: int = 0) -> bytes:
    """A client's frame."""
    first = (0x80 if final else 0) | rsv << 4 | opcode
    size = len(payload)
    if size < 126:
        head = bytes((first, 0x80 | size))
    elif size < 65536:
        head = bytes((first, 0x80 | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, 0x80 | 127)) + size.to_bytes(8, "big")
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


class Listens(Protocol):
    """A server under test."""

    @property
    def address(self) -> tuple[str, int]: ...


class Wire:
    """A raw socket. `frame()` reads one server frame as (opcode, payload)."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def dial(cls, world: Listens) -> "Wire":
        return cls(*await asyncio.open_connection(*world.address))

    @classmethod
    async def open(cls, world: Listens, extra: bytes = b"", rest: bytes = b"") -> "Wire":
        """After the upgrade and the Engine.IO open packet."""
        wire = await cls.dial(world)
        wire.send(HEAD + extra + b"\r\n" + rest)
        assert (await wire.head()).startswith(b"HTTP/1.1 101 ")
        opcode, payload = await wire.frame()
        assert (opcode, payload[:1]) == (1, b"0")
        return wire

    @classmethod
    async def connect(cls, world: Listens, token: str | None = None) -> "Wire":
        """After the Socket.IO CONNECT."""
        wire = await cls.open(world)
        wire.text("40" + (msgspec.json.encode({"token": token}).decode() if token else ""))
        assert (await wire.packet()).startswith("40{")
        return wire

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def text(self, text: str) -> None:
        self.send(masked(text.encode()))

    async def head(self) -> bytes:
        return await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), DEADLINE_S)

    async def frame(self) -> tuple[int, bytes]:
        async with asyncio.timeout(DEADLINE_S):
            first, size = await self.reader.readexactly(2)
            assert first & 0xF0 == 0x80 and size < 128, "final, no extension, not masked"
            if size == 126:
                size = int.from_bytes(await self.reader.readexactly(2), "big")
            elif size == 127:
                size = int.from_bytes(await self.reader.readexactly(8), "big")
            return first & 0x0F, await self.reader.readexactly(size)

    async def packet(self) -> str:
        """The next text that is not a ping; pings are answered."""
        while True:
            opcode, payload = await self.frame()
            assert opcode == 1, (opcode, payload)
            if payload != b"2":
                return payload.decode()
            self.text("3")

    async def event(self) -> list[Any]:
        """The next event as [name, argument]."""
        packet = await self.packet()
        assert packet.startswith("42"), packet
        decoded: list[Any] = msgspec.json.decode(packet[2:])
        return decoded

    async def ask(self, name: str, *args: Any, ack_id: int = 1) -> Any:
        """Emit and return what the acknowledgement carries."""
        self.text(f"42{ack_id}" + msgspec.json.encode([name, *args]).decode())
        prefix = f"43{ack_id}["
        packet = await self.packet()
        assert packet.startswith(prefix), packet
        return msgspec.json.decode(packet[len(prefix) - 1 :])[0]

    async def closed(self) -> tuple[int, str]:
        """Read up to the close frame: (code, reason); (1006, "") without one."""
        try:
            while True:
                opcode, payload = await self.frame()
                if opcode == 8:
                    return int.from_bytes(payload[:2], "big"), payload[2:].decode()
        except (asyncio.IncompleteReadError, ConnectionError):
            return 1006, ""

    async def eof(self) -> bytes:
        """Everything until the server hangs up."""
        return await asyncio.wait_for(self.reader.read(), DEADLINE_S)

    async def __aenter__(self) -> "Wire":
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()
