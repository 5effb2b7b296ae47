"""Socket.IO client: lean version 5 over WebSocket, with events, acknowledged calls and pings.

Frames from a server are unmasked; ours are masked with zeros, which the protocol allows and which
costs nothing. It does not reconnect: the buyer decides when.
"""

import asyncio
import base64
import contextlib
import struct
from collections.abc import Callable
from typing import Any, cast

import msgspec

CONNECT_S = 30.0
CALL_S = 10.0
UPGRADE = (
    "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost:{port}\r\n"
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: {key}\r\n\r\n"
)
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
MASK = b"\0\0\0\0"

OnEvent = Callable[[str, Any], None]


def frame(opcode: int, payload: bytes) -> bytes:
    """One final, masked frame."""
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", 0x80 | opcode, 0x80 | size) + MASK + payload
    return struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size) + MASK + payload


class Socket(asyncio.Protocol):
    """One connection. `closed` is set when it is gone, for whatever reason; `watched` is what the
    server said of the sale to watch, if one was named."""

    def __init__(
        self, auth: dict[str, Any], on_event: OnEvent, on_close: Callable[[], None], port: int
    ) -> None:
        self._auth = auth
        self._on_event = on_event
        self._on_close = on_close
        self._port = port
        self._buffer = bytearray()
        self._upgraded = False
        self._transport: asyncio.Transport | None = None
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._last_call = 0
        self.watched: dict[str, Any] = {}
        self.closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        key = base64.b64encode(b"a key of 16 byte").decode()
        self._transport.write(UPGRADE.format(port=self._port, key=key).encode())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._upgraded:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            if not self._buffer.startswith(b"HTTP/1.1 101"):
                self._fail(ConnectionError(bytes(self._buffer[:60]).decode(errors="replace")))
                return
            self._upgraded = True
            del self._buffer[: end + 4]
        self._frames()

    def _frames(self) -> None:
        buffer = self._buffer
        while len(buffer) >= 2:
            size, start = buffer[1] & 127, 2
            if size == 126:
                size, start = int.from_bytes(buffer[2:4], "big"), 4
            elif size == 127:
                size, start = int.from_bytes(buffer[2:10], "big"), 10
            if len(buffer) < start + size:
                return
            opcode, payload = buffer[0] & 15, bytes(buffer[start : start + size])
            del buffer[: start + size]
            self._frame(opcode, payload)

    def _frame(self, opcode: int, payload: bytes) -> None:
        if opcode == TEXT:
            self._message(payload)
        elif opcode == PING:
            self._write(frame(PONG, payload))
        elif opcode == CLOSE:
            self.close()

    def _message(self, text: bytes) -> None:
        if text == b"2":  # Engine.IO ping
            self._write(frame(TEXT, b"3"))
        elif text.startswith(b"0"):  # Engine.IO open
            self._write(frame(TEXT, b"40" + msgspec.json.encode(self._auth)))
        elif text.startswith(b"40"):
            if "watch" not in self._auth:
                self._is_ready()
        elif text.startswith(b"42"):
            name, *arguments = msgspec.json.decode(text[2:])
            if name == "watched":
                self.watched = arguments[0]
                self._is_ready()
            else:
                self._on_event(name, arguments[0] if arguments else None)
        elif text.startswith(b"43"):
            self._acknowledged(text[2:])
        elif text.startswith((b"44", b"41", b"1")):
            self._fail(ConnectionError(text[:80].decode(errors="replace")))

    def _is_ready(self) -> None:
        if not self._ready.done():
            self._ready.set_result(None)

    def _acknowledged(self, text: bytes) -> None:
        digits = text.find(b"[")
        call = self._calls.pop(int(text[:digits] or b"0"), None)
        if call and not call.done():
            answer = msgspec.json.decode(text[digits:])
            call.set_result(answer[0] if answer else None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._fail(exc or ConnectionError("closed"))

    def _fail(self, error: Exception) -> None:
        if not self._ready.done():
            self._ready.set_exception(error)
        for call in self._calls.values():
            if not call.done():
                call.set_exception(ConnectionError("closed"))
        self._calls.clear()
        self.closed.set()
        self.close()
        self._on_close()

    async def ready(self) -> None:
        """Raises ConnectionError or TimeoutError."""
        async with asyncio.timeout(CONNECT_S):
            await self._ready

    async def call(self, event: str, argument: object) -> Any:
        """Emit; what the server answered. Raises ConnectionError, TimeoutError."""
        self._last_call += 1
        number = self._last_call
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._calls[number] = answer
        self._write(frame(TEXT, b"42%d" % number + msgspec.json.encode([event, argument])))
        async with asyncio.timeout(CALL_S):
            return await answer

    def _write(self, data: bytes) -> None:
        if self._transport and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        if self._transport:
            with contextlib.suppress(OSError):
                self._transport.close()


async def connect(
    host: str,
    port: int,
    address: str,
    token: str,
    on_event: OnEvent,
    on_close: Callable[[], None],
    watch: int | None = None,
) -> Socket:
    """A connected socket from the local `address`; `on_close` is called when it is gone.

    Args:
        watch: a sale to watch from the start: the event `watched` says how it stands.

    Raises:
        OSError: ConnectionError, TimeoutError.
    """
    fields = {"token": token or None, "watch": watch}
    auth = {name: value for name, value in fields.items() if value is not None}
    async with asyncio.timeout(CONNECT_S):
        _, socket = await asyncio.get_running_loop().create_connection(
            lambda: Socket(auth, on_event, on_close, port), host, port, local_addr=(address, 0)
        )
    try:
        await socket.ready()
    except BaseException:
        socket.close()
        raise
    return socket
