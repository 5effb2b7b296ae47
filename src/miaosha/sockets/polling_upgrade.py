"""UpgradeCandidate: a WebSocket that would take over a polling session.

The client sends `2probe`, receives `3probe`, ends its GET and sends `5`; then the transport belongs
to the session. A candidate that sends something else, or nothing for `handshake_s`, is closed, and
the session goes on polling.
"""

import asyncio
from typing import Final, cast

from miaosha.sockets import frames
from miaosha.sockets.closing import CONNECT_TIMEOUT, PROTOCOL_ERROR, UNKNOWN_SESSION, Close, broken
from miaosha.sockets.frames import FrameReader, Message, Opcode, WebSocketError
from miaosha.sockets.polling_session import PollingSession
from miaosha.sockets.server import SocketServer
from miaosha.sockets.session import Stage

PROBE: Final = "2probe"
UPGRADE: Final = "5"
_ANSWER: Final = frames.frame(Opcode.TEXT, b"3probe")


class UpgradeCandidate(asyncio.Protocol):
    """Takes over a transport. Without a `session` (the id is unknown) it closes with a code."""

    __slots__ = ("_probed", "_reader", "_server", "_session", "_transport")

    def __init__(
        self, server: SocketServer, transport: asyncio.Transport, session: PollingSession | None
    ) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = transport
        self._session = session
        self._reader = FrameReader(server.limits.message_max)
        self._probed = False
        transport.set_protocol(self)

    @property
    def stage(self) -> Stage:
        return Stage.CLOSED if self._transport is None else Stage.OPEN

    def begin(self, response: bytes, rest: bytes) -> None:
        """Answer the upgrade request and read what came after it."""
        assert self._transport is not None
        self._transport.write(response)
        if self._session is None or not self._session.court(self):
            self._session = None
            self.close(UNKNOWN_SESSION)
            return
        self._server.wheel.schedule(UpgradeCandidate.check, self, self._server.limits.handshake_s)
        if rest:
            self.data_received(rest)

    # asyncio.Protocol

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.left()
        self._transport = None
        self._leave()

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while self._session is not None and (message := self._reader.next_message()):
                self._receive(self._session, message)
        except WebSocketError as error:
            self.close(broken(error))

    def _receive(self, session: PollingSession, message: Message) -> None:
        opcode, payload = message
        if opcode is Opcode.CLOSE:
            self.close(Close(*frames.parse_close(cast(bytes, payload))))
        elif payload == UPGRADE and self._probed:
            self._hand_over(session)
        elif not session.admit():
            pass
        elif payload == PROBE:
            self._probed = True
            self._send(_ANSWER)
            session.probed()
        elif opcode is Opcode.PING:
            self._send(frames.frame(Opcode.PONG, cast(bytes, payload)))
        elif opcode is not Opcode.PONG:
            self.close(PROTOCOL_ERROR)

    def _hand_over(self, session: PollingSession) -> None:
        transport, self._transport, self._session = self._transport, None, None
        assert transport is not None
        reader = self._reader
        del self._reader  # the wheel keeps this object for some seconds more
        session.upgrade(transport, reader)

    # sending, and the end

    def _send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def check(self) -> None:
        """Called by the wheel: close an upgrade that is half done."""
        if self._session is None:
            self.drop()
        else:
            self.close(CONNECT_TIMEOUT)
            self._server.wheel.schedule(UpgradeCandidate.check, self, self._server.limits.close_s)

    def close(self, close: Close) -> None:
        """Send the reason and hang up."""
        self._send(frames.close_frame(*close))
        if self._transport is not None:
            self._transport.close()
        self._leave()

    def drop(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _leave(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.abandoned()
