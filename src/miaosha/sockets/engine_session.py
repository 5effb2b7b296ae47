"""EngineSession: one Engine.IO session: packets, heartbeats, the message rate, deadlines.

A subclass carries it: `websocket_session` by a WebSocket, `polling_session` by HTTP requests. The
carrier implements `_write`, `close` and `drop`, and calls `receive_text` and `receive_binary`.
`session`, between the two, gives the messages their meaning in Socket.IO. There is one session for
every client, so an idle session is slots only: it has no dict, task, closure or buffer.
"""

from enum import IntEnum

import structlog

from miaosha.serving.buckets import full_at
from miaosha.sockets import engine_packets
from miaosha.sockets.closing import (
    BYE,
    CONNECT_TIMEOUT,
    PING_TIMEOUT,
    PROTOCOL_ERROR,
    RATE_LIMITED,
    TOKEN_EXPIRED,
    Close,
)
from miaosha.sockets.engine_packets import Outbound
from miaosha.sockets.server import SocketServer

log = structlog.get_logger()


class Stage(IntEnum):
    """How far a socket has come; docs/sockets.md says which class serves which stage."""

    REQUEST = 0  # the HTTP request is still arriving
    ANSWERING = 1  # a plain HTTP response is on its way; nothing more is read
    OPEN = 2
    CLOSING = 3  # the server has sent its close and waits for the client's
    CLOSED = 4


class EngineSession:
    """Attributes:
    expires_at_s: Unix seconds at which the session is closed with 4001; 0: never.
    namespaces: those the client is connected to.
    """

    __slots__ = ("_allowed_at", "_awaiting_pong", "expires_at_s", "namespaces", "server", "stage")

    def __init__(self, server: SocketServer) -> None:
        self.server = server
        self.stage = Stage.REQUEST
        self.expires_at_s = 0
        self.namespaces: tuple[str, ...] = ()
        self._awaiting_pong = False
        self._allowed_at = 0.0  # when the next message would be on time (GCRA)

    # what a carrier implements

    def _write(self, parts: tuple[Outbound, ...]) -> None:
        raise NotImplementedError

    def close(self, close: Close) -> None:
        """Close with a code; nothing is sent or received after."""
        raise NotImplementedError

    def drop(self) -> None:
        """End the session at once and send nothing."""
        raise NotImplementedError

    def unread(self) -> bool:
        """Whether bytes of the client wait to be read."""
        raise NotImplementedError

    # what is built on top

    def _message(self, payload: str) -> None:
        raise NotImplementedError

    def receive_binary(self, data: bytes) -> None:
        """One binary message."""
        raise NotImplementedError

    def ended(self) -> None:
        """The carrier is gone or going."""
        raise NotImplementedError

    # packets

    def send(self, *parts: Outbound) -> None:
        """Send packets, in one go; a session that is not open loses them silently."""
        if self.stage is Stage.OPEN:
            self._write(parts)

    def receive_text(self, text: str) -> None:
        """One Engine.IO packet."""
        if text == "3" and self._awaiting_pong:
            self._awaiting_pong = False
            return
        if not self.admit():
            return
        try:
            kind, payload = engine_packets.decode(text)
        except engine_packets.EngineError as error:
            self.violated(str(error))
            return
        match kind:
            case engine_packets.EnginePacketType.MESSAGE:
                self._message(payload)
            case engine_packets.EnginePacketType.CLOSE:
                self.close(BYE)
            case engine_packets.EnginePacketType.NOOP | engine_packets.EnginePacketType.PONG:
                pass
            case _:  # a client never sends ping, open or (here) upgrade
                self.violated(f"unexpected {kind.name.lower()}")

    def admit(self) -> bool:
        """Count one message against the rate; over it the session is closed."""
        server = self.server
        server.count("messages_in")
        if not server.cost_s:
            return True
        at = full_at(self._allowed_at, server.monotonic(), server.cost_s, server.burst_s)
        if at is None:
            server.count("sockets_rate_limited")
            self.close(RATE_LIMITED)
            return False
        self._allowed_at = at
        return True

    def violated(self, detail: str) -> None:
        """The client broke the protocol."""
        self.server.count("sockets_protocol_error")
        log.debug("protocol_error", detail=detail)
        self.close(PROTOCOL_ERROR)

    # deadlines, called by the wheel

    def opened(self) -> None:
        """The session is open: pings start."""
        self.stage = Stage.OPEN
        self.server.wheel.schedule(EngineSession.ping, self, self.server.first_ping_s())

    def ping(self) -> None:
        if self.stage is not Stage.OPEN:
            return
        server = self.server
        self._awaiting_pong = True
        server.wheel.schedule(EngineSession.check_pong, self, server.limits.ping_timeout_s)
        self.send(engine_packets.PING)
        if self._allowed_at <= server.monotonic():
            self._allowed_at = 0.0  # give the number's memory back
        self._watch_expiry()

    def check_pong(self) -> None:
        if self.stage is not Stage.OPEN:
            return
        wheel, limits = self.server.wheel, self.server.limits
        if not self._awaiting_pong:
            rest_s = limits.ping_interval_s - limits.ping_timeout_s - wheel.late_s
            wheel.schedule(EngineSession.ping, self, max(rest_s, 0.0))
        elif wait_s := wheel.excused_s() or (limits.resolution_s if self.unread() else 0.0):
            wheel.schedule(EngineSession.check_again, self, wait_s)
        else:
            self._silent()

    def check_again(self) -> None:
        """The verdict that `check_pong` put off, because this process may not have listened."""
        if self.stage is not Stage.OPEN:
            return
        if not self._awaiting_pong:
            self.ping()  # sooner than needed: how late this process is, is not known here
        elif wait_s := self.server.wheel.excused_s():
            self.server.wheel.schedule(EngineSession.check_again, self, wait_s)
        else:
            self._silent()

    def _silent(self) -> None:
        self.server.count("sockets_ping_timeout")
        self.close(PING_TIMEOUT)

    def check_connected(self) -> None:
        """Close a session that is connected to no namespace."""
        if self.stage is Stage.OPEN and not self.namespaces and self.server.raw is None:
            self.close(CONNECT_TIMEOUT)
        elif self.stage <= Stage.ANSWERING:
            self.drop()

    def expire_at(self, unix_s: int) -> None:
        """Close the session at a time, such as the end of its access token; 0: never."""
        self.expires_at_s = unix_s
        self._watch_expiry()

    def _watch_expiry(self) -> None:
        """Set a deadline for an expiry that comes before the next ping looks again."""
        if not self.expires_at_s:
            return
        limits = self.server.limits
        left = self.expires_at_s - self.server.now_s()
        if left <= limits.ping_interval_s + limits.ping_timeout_s + 1:
            self.server.wheel.schedule(EngineSession.check_expiry, self, max(left, 0))

    def check_expiry(self) -> None:
        if self.stage is not Stage.OPEN or not self.expires_at_s:
            return
        left = self.expires_at_s - self.server.now_s()
        if left > 0:
            self.server.wheel.schedule(EngineSession.check_expiry, self, left)
            return
        self.server.count("sockets_token_expired")
        self.close(TOKEN_EXPIRED)
