"""One Engine.IO session, whatever carries it: packets, heartbeats, the message rate, deadlines.

A carrier (`connection`: a WebSocket; `polling`: HTTP requests) gives `_write`, `close` and `drop`;
what a client says comes in by `receive_text` and `receive_binary`; what it means is Socket.IO's
business (`session`). There are as many of these as there are buyers, so a session is slots only: no
dict, task, closure or buffer while it is idle.
"""

from enum import IntEnum

import structlog

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
    REQUEST = 0  # the HTTP request is still arriving
    ANSWERING = 1  # a plain HTTP answer is on its way; what else arrives is not read
    OPEN = 2
    CLOSING = 3  # we said goodbye; the peer's is awaited
    CLOSED = 4


class EngineSession:
    """Attributes:
    expires_at_s: Unix seconds at which the user's token ends; 0 without one.
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

    # what a carrier gives

    def _write(self, parts: tuple[Outbound, ...]) -> None:
        raise NotImplementedError

    def close(self, close: Close) -> None:
        """Say goodbye with a code; nothing is sent or received after."""
        raise NotImplementedError

    def drop(self) -> None:
        """End it at once, without a word."""
        raise NotImplementedError

    def unread(self) -> bool:
        """Whether the client said something that has not been read yet."""
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
        now = server.monotonic()
        at = max(self._allowed_at, now) + server.cost_s
        if at - now > server.burst_s + 1e-9:
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
        self.watch_expiry()

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
        """The verdict that was put off because it might have been ours who did not listen."""
        if self.stage is not Stage.OPEN:
            return
        if not self._awaiting_pong:
            self.ping()  # sooner than it had to be: how late we are is not known here
        elif wait_s := self.server.wheel.excused_s():
            self.server.wheel.schedule(EngineSession.check_again, self, wait_s)
        else:
            self._silent()

    def _silent(self) -> None:
        self.server.count("sockets_ping_timeout")
        self.close(PING_TIMEOUT)

    def check_connected(self) -> None:
        """Nobody may hold a socket without being connected to a namespace."""
        if self.stage is Stage.OPEN and not self.namespaces and self.server.raw is None:
            self.close(CONNECT_TIMEOUT)
        elif self.stage <= Stage.ANSWERING:
            self.drop()

    def watch_expiry(self) -> None:
        """Set the alarm for a token that ends before the next ping looks again."""
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
