"""One Engine.IO session with its Socket.IO namespaces, whatever carries it.

The carrier (a WebSocket connection; long polling would be another subclass, and an upgrade hands
the slots from one to the other) gives `_write`, `close` and `drop`; everything a client says comes
in by `receive_text` and `receive_binary`. There are as many of these as there are buyers, so a
session is slots only: no dict, task, closure or buffer while it is idle.
"""

from enum import IntEnum
from typing import TYPE_CHECKING, Any

import structlog

from miaosha.gateway import engineio, socketio
from miaosha.gateway.closing import (
    BYE,
    CONNECT_TIMEOUT,
    INTERNAL,
    PING_TIMEOUT,
    PROTOCOL_ERROR,
    RATE_LIMITED,
    TOKEN_EXPIRED,
    Close,
)
from miaosha.gateway.core import Core, Refused
from miaosha.gateway.engineio import Outbound
from miaosha.gateway.socketio import Packet, PacketType

if TYPE_CHECKING:
    from miaosha.gateway.hub import Room

log = structlog.get_logger()

ROOT = ("/",)  # the namespaces of nearly every session, shared


class Stage(IntEnum):
    REQUEST = 0  # the HTTP request is still arriving
    ANSWERING = 1  # a plain HTTP answer is on its way; what else arrives is not read
    OPEN = 2
    CLOSING = 3  # a close frame was sent; the peer's is awaited
    CLOSED = 4


class Session:
    """Attributes:
    user_id: the token's subject; 0 for an anonymous visitor.
    expires_at_s: Unix seconds at which the token ends; 0 without one.
    rooms: what this session belongs to (kept by the hub).
    """

    __slots__ = (
        "_allowed_at",
        "_assembly",
        "_awaiting_pong",
        "core",
        "expires_at_s",
        "namespaces",
        "rooms",
        "stage",
        "user_id",
    )

    def __init__(self, core: Core) -> None:
        self.core = core
        self.stage = Stage.REQUEST
        self.user_id = 0
        self.expires_at_s = 0
        self.rooms: tuple[Room, ...] = ()
        self.namespaces: tuple[str, ...] = ()
        self._awaiting_pong = False
        self._allowed_at = 0.0  # when the next message would be on time (GCRA)
        self._assembly: socketio.Assembly | None = None

    # what a carrier gives

    def _write(self, parts: tuple[Outbound, ...]) -> None:
        raise NotImplementedError

    def close(self, close: Close) -> None:
        """Say goodbye with a code; nothing is sent or received after."""
        raise NotImplementedError

    def drop(self) -> None:
        """End it at once, without a word."""
        raise NotImplementedError

    # sending

    def send(self, *parts: Outbound) -> None:
        """Send packets, in one go; a session that is not open loses them silently."""
        if self.stage is Stage.OPEN:
            self._write(parts)

    def emit(self, namespace: str, *args: Any) -> None:
        """Send an event: its name, then its arguments (JSON values and bytes)."""
        self.send(*socketio.encode(Packet(PacketType.EVENT, namespace, list(args))))

    def acknowledge(self, namespace: str, ack_id: int, *args: Any) -> None:
        self.send(*socketio.encode(Packet(PacketType.ACK, namespace, list(args), ack_id)))

    def disconnect(self, namespace: str) -> None:
        """Put the client out of a namespace; the stock client does not come back by itself."""
        self._send_packet(PacketType.DISCONNECT, namespace)
        self._left(namespace)

    # receiving

    def receive_text(self, text: str) -> None:
        """One Engine.IO packet."""
        if text == "3" and self._awaiting_pong:
            self._awaiting_pong = False
            return
        if not self.admit():
            return
        try:
            kind, payload = engineio.decode(text)
            match kind:
                case engineio.PacketType.MESSAGE if self._assembly is None:
                    self._packet(socketio.decode(payload))
                case engineio.PacketType.CLOSE:
                    self.close(BYE)
                case engineio.PacketType.NOOP | engineio.PacketType.PONG:
                    pass
                case _:  # a client never sends ping, open or (here) upgrade
                    self._violated(f"unexpected {kind.name.lower()}")
        except (engineio.EngineError, socketio.InvalidPacket) as error:
            self._violated(str(error))

    def receive_binary(self, data: bytes) -> None:
        """One attachment of the binary packet before it."""
        if not self.admit():
            return
        if self._assembly is None:
            self._violated("unexpected attachment")
            return
        try:
            whole = self._assembly.add(data)
        except socketio.InvalidPacket as error:
            self._violated(str(error))
            return
        if whole is not None:
            self._assembly = None
            self._dispatch(whole)

    def admit(self) -> bool:
        """Count one message against the rate; over it the session is closed."""
        core = self.core
        core.count("messages_in")
        if not core.cost_s:
            return True
        now = core.monotonic()
        at = max(self._allowed_at, now) + core.cost_s
        if at - now > core.burst_s + 1e-9:
            core.count("sockets_rate_limited")
            self.close(RATE_LIMITED)
            return False
        self._allowed_at = at
        return True

    def _violated(self, detail: str) -> None:
        self.core.count("sockets_protocol_error")
        log.debug("protocol_error", detail=detail)
        self.close(PROTOCOL_ERROR)

    # Socket.IO

    def _packet(self, packet: Packet) -> None:
        if packet.attachments:
            self._assembly = socketio.Assembly(packet, self.core.limits.message_max)
            return
        self._dispatch(packet)

    def _dispatch(self, packet: Packet) -> None:
        known = packet.namespace in self.namespaces
        if known is (packet.type is PacketType.CONNECT):
            self._violated("connected twice" if known else "not connected")
            return
        application = self.core.application
        try:
            match packet.type:
                case PacketType.CONNECT:
                    self._connect(packet.namespace, packet.data)
                case PacketType.DISCONNECT:
                    self._left(packet.namespace)
                case PacketType.EVENT | PacketType.BINARY_EVENT:
                    name, *args = packet.data
                    application.event(self, packet.namespace, name, args, packet.ack_id)
                case PacketType.ACK | PacketType.BINARY_ACK:
                    assert packet.ack_id is not None
                    application.acked(self, packet.namespace, packet.ack_id, packet.data)
                case _:
                    self._violated("unexpected packet")
        except Exception:
            log.exception("application_failed", packet=packet.type.name)
            self.close(INTERNAL)

    def _connect(self, namespace: str, auth: Any) -> None:
        core = self.core
        try:
            if len(self.namespaces) >= core.limits.namespaces_max:
                raise Refused("Too many namespaces", {"code": "rate_limited"})
            core.application.connect(self, namespace, auth)
        except Refused as refused:
            core.count("connects_refused")
            body: dict[str, Any] = {"message": refused.message}
            if refused.data is not None:
                body["data"] = refused.data
            self._send_packet(PacketType.CONNECT_ERROR, namespace, body)
            return
        core.count("connects")
        self.namespaces = (
            ROOT if not self.namespaces and namespace == "/" else (*self.namespaces, namespace)
        )
        self._send_packet(PacketType.CONNECT, namespace, {"sid": core.new_sid()})
        core.application.connected(self, namespace, auth)

    def _send_packet(self, kind: PacketType, namespace: str, data: Any = None) -> None:
        self.send(*socketio.encode(Packet(kind, namespace, data)))

    def _left(self, namespace: str) -> None:
        self.namespaces = tuple(name for name in self.namespaces if name != namespace)
        self.core.application.disconnected(self, namespace)
        if not self.namespaces:
            self.core.wheel.schedule(Session.check_connected, self, self.core.limits.handshake_s)

    def ended(self) -> None:
        """The carrier is gone or going: out of every namespace."""
        namespaces, self.namespaces = self.namespaces, ()
        for namespace in namespaces:
            self.core.application.disconnected(self, namespace)

    # deadlines, called by the wheel

    def opened(self) -> None:
        """The Engine.IO session is open: pings start."""
        self.stage = Stage.OPEN
        self.core.wheel.schedule(Session.ping, self, self.core.first_ping_s())

    def ping(self) -> None:
        if self.stage is not Stage.OPEN:
            return
        core = self.core
        self._awaiting_pong = True
        core.wheel.schedule(Session.check_pong, self, core.limits.ping_timeout_s)
        self.send(engineio.PING)
        if self._allowed_at <= core.monotonic():
            self._allowed_at = 0.0  # give the number's memory back
        self.watch_expiry()

    def check_pong(self) -> None:
        if self.stage is not Stage.OPEN:
            return
        core = self.core
        if self._awaiting_pong:
            core.count("sockets_ping_timeout")
            self.close(PING_TIMEOUT)
            return
        rest = core.limits.ping_interval_s - core.limits.ping_timeout_s
        core.wheel.schedule(Session.ping, self, max(rest, 0.0))

    def check_connected(self) -> None:
        """Nobody may hold a socket without being connected to a namespace."""
        if self.stage is Stage.OPEN and not self.namespaces:
            self.close(CONNECT_TIMEOUT)
        elif self.stage <= Stage.ANSWERING:
            self.drop()

    def watch_expiry(self) -> None:
        """Set the alarm for a token that ends before the next ping looks again."""
        if not self.expires_at_s:
            return
        limits = self.core.limits
        left = self.expires_at_s - self.core.now_s()
        if left <= limits.ping_interval_s + limits.ping_timeout_s + 1:
            self.core.wheel.schedule(Session.check_expiry, self, max(left, 0))

    def check_expiry(self) -> None:
        if self.stage is not Stage.OPEN or not self.expires_at_s:
            return
        left = self.expires_at_s - self.core.now_s()
        if left > 0:
            self.core.wheel.schedule(Session.check_expiry, self, left)
            return
        self.core.count("sockets_token_expired")
        self.close(TOKEN_EXPIRED)
