"""WebSocketSession: a session carried by a WebSocket: frames, backpressure, the closing handshake.

An idle session keeps no bytes and no parser. When more than `buffer_max` bytes wait unsent, the
transport calls `pause_writing`, and the session drops the socket.
"""

import asyncio
import contextlib
import fcntl
import termios
from typing import cast

from miaosha.sockets import frames
from miaosha.sockets.closing import BYE, Close, broken
from miaosha.sockets.engine_packets import Outbound
from miaosha.sockets.frames import FrameReader, Message, Opcode, WebSocketError
from miaosha.sockets.server import SocketServer
from miaosha.sockets.session import Session, Stage


class WebSocketSession(Session, asyncio.Protocol):
    """The asyncio.Protocol of one TCP or unix socket, once it is a WebSocket.

    `_received`: a reader within a frame, or b"" (before the upgrade: the request so far).
    """

    __slots__ = ("_received", "_transport")

    def __init__(self, server: SocketServer) -> None:
        super().__init__(server)
        self._transport: asyncio.Transport | None = None
        self._received: bytes | FrameReader = b""

    # asyncio.Protocol

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.left()
        self.stage = Stage.CLOSED
        self._transport = None
        self._received = b""
        self.ended()

    def data_received(self, data: bytes) -> None:
        if self.stage is not Stage.OPEN and self.stage is not Stage.CLOSING:
            return
        reader = self._received
        if isinstance(reader, bytes):
            message_max = self.server.limits.message_max
            text = frames.whole_text(data, message_max)
            if text is not None and self.stage is Stage.OPEN:
                self.receive_text(text)
                return
            reader = FrameReader(message_max)
        reader.feed(data)
        self._read(reader)

    def pause_writing(self) -> None:
        """The client reads more slowly than the server writes."""
        self.server.count("sockets_slow_dropped")
        asyncio.get_running_loop().call_soon(self.drop)
        self.stage = Stage.CLOSED

    # receiving

    def _read(self, reader: FrameReader) -> None:
        try:
            while (message := reader.next_message()) is not None:
                self._receive(message)
                if self.stage is Stage.CLOSED:
                    return
        except WebSocketError as error:
            self._fail(error)
            return
        self._received = b"" if reader.idle else reader

    def _receive(self, message: Message) -> None:
        opcode, payload = message
        if opcode is Opcode.CLOSE:
            self._receive_close(cast(bytes, payload))
        elif self.stage is not Stage.OPEN:
            pass  # the server has sent its close: nothing more is read
        elif isinstance(payload, str):
            self.receive_text(payload)
        elif opcode is Opcode.BINARY:
            self.receive_binary(payload)
        elif opcode is Opcode.PING:
            if self.admit() and self._transport is not None:
                self._transport.write(frames.frame(Opcode.PONG, payload))
        else:
            self.admit()  # a pong that answers no ping

    def _receive_close(self, payload: bytes) -> None:
        code, _ = frames.parse_close(payload)
        if self.stage is Stage.OPEN:
            self._say(frames.close_frame(code))
        self._hang_up()

    def _fail(self, error: WebSocketError) -> None:
        """The stream cannot be read any further: send the reason and EOF, wait for the client's."""
        if self.stage is Stage.OPEN:
            self.server.count("sockets_protocol_error")
            close = broken(error)
            self._say(frames.close_frame(close.code, close.reason))
        self.stage = Stage.CLOSED
        self._received = b""
        if self._transport is not None and self._transport.can_write_eof():
            self._transport.write_eof()

    def unread(self) -> bool:
        """Ask the kernel how many bytes it holds for this socket. Only a verdict needs this."""
        if self._transport is None or self._transport.is_closing():
            return False
        waiting = bytearray(4)
        with contextlib.suppress(OSError):
            fcntl.ioctl(self._transport.get_extra_info("socket"), termios.FIONREAD, waiting)
        return any(waiting)

    # sending

    def _write(self, parts: tuple[Outbound, ...]) -> None:
        assert self._transport is not None
        if len(parts) == 1:
            self._transport.write(parts[0].frame)
        else:
            self._transport.write(b"".join([part.frame for part in parts]))

    def _say(self, close: bytes) -> None:
        """Send a close frame; the session ends here, the transport in `close_s` at the latest."""
        self.stage = Stage.CLOSING
        if self._transport is not None:
            self._transport.write(close)
        self.server.wheel.schedule(WebSocketSession.drop, self, self.server.limits.close_s)
        self.ended()

    def _hang_up(self) -> None:
        self.stage = Stage.CLOSED
        if self._transport is not None:
            self._transport.close()

    def close(self, close: Close) -> None:
        if self.stage is Stage.OPEN:
            self._say(frames.close_frame(*close))
            if close is BYE:
                self._hang_up()

    def drop(self) -> None:
        if self._transport is not None:
            self._transport.abort()
