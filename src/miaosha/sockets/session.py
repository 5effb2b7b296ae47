"""Session: one client with its namespaces, events, acknowledgements and attachments (Socket.IO)."""

from typing import Any

import structlog

from miaosha.sockets import packets
from miaosha.sockets.application import ConnectRefused
from miaosha.sockets.closing import INTERNAL
from miaosha.sockets.engine_session import EngineSession, Stage
from miaosha.sockets.packets import Packet, PacketType
from miaosha.sockets.rooms import Room
from miaosha.sockets.server import SocketServer

__all__ = ["Session", "Stage"]

log = structlog.get_logger()

ROOT = ("/",)  # the namespaces of nearly every session, shared


class Session(EngineSession):
    """Attributes:
    context: the application's own slot, None at first. Nothing in this package reads it.
    rooms: the rooms this session is in; `rooms.Rooms` keeps it.
    address: what `server.admission` counts this session against; 0: nothing.
    """

    __slots__ = ("_assembly", "address", "context", "rooms")

    def __init__(self, server: SocketServer) -> None:
        super().__init__(server)
        self.context: Any = None
        self.address = 0
        self.rooms: tuple[Room[Any], ...] = ()
        self._assembly: packets.Assembly | None = None

    # sending

    def emit(self, namespace: str, *args: Any, ack_id: int | None = None) -> None:
        """Send an event: its name, then its arguments (JSON values and bytes).

        Args:
            ack_id: asks the client for an acknowledgement, which comes to the application's
                `acked` with this number. The application chooses the number.
        """
        self.send(*packets.encode(Packet(PacketType.EVENT, namespace, list(args), ack_id)))

    def acknowledge(self, namespace: str, ack_id: int, *args: Any) -> None:
        """Send the acknowledgement that a client asked for with this number."""
        self.send(*packets.encode(Packet(PacketType.ACK, namespace, list(args), ack_id)))

    def disconnect(self, namespace: str) -> None:
        """Remove the client from a namespace; the stock client does not reconnect by itself."""
        self._send_packet(PacketType.DISCONNECT, namespace)
        self._left(namespace)

    def _send_packet(self, kind: PacketType, namespace: str, data: Any = None) -> None:
        self.send(*packets.encode(Packet(kind, namespace, data)))

    # receiving

    def _message(self, payload: str) -> None:
        if self.server.raw is not None:
            self.server.raw(self, payload)
            return
        if self._assembly is not None:
            self.violated("text where an attachment is due")
            return
        try:
            packet = packets.decode(payload)
        except packets.InvalidPacket as error:
            self.violated(str(error))
            return
        if packet.attachments:
            self._assembly = packets.Assembly(packet, self.server.limits.message_max)
            return
        self._dispatch(packet)

    def receive_binary(self, data: bytes) -> None:
        """One attachment of the binary packet before it."""
        if not self.admit():
            return
        if self.server.raw is not None:
            self.server.raw(self, data)
            return
        if self._assembly is None:
            self.violated("unexpected attachment")
            return
        try:
            whole = self._assembly.add(data)
        except packets.InvalidPacket as error:
            self.violated(str(error))
            return
        if whole is not None:
            self._assembly = None
            self._dispatch(whole)

    def _dispatch(self, packet: Packet) -> None:
        known = packet.namespace in self.namespaces
        if known is (packet.type is PacketType.CONNECT):
            self.violated("connected twice" if known else "not connected")
            return
        application = self.server.application
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
                    self.violated("unexpected packet")
        except Exception:
            log.exception("application_failed", packet=packet.type.name)
            self.close(INTERNAL)

    def _connect(self, namespace: str, auth: Any) -> None:
        server = self.server
        try:
            if len(self.namespaces) >= server.limits.namespaces_max:
                raise ConnectRefused("Too many namespaces", {"code": "rate_limited"})
            greeting = server.application.connect(self, namespace, auth)
        except ConnectRefused as refused:
            server.count("connects_refused")
            body: dict[str, Any] = {"message": refused.message}
            if refused.data is not None:
                body["data"] = refused.data
            self._send_packet(PacketType.CONNECT_ERROR, namespace, body)
            return
        server.count("connects")
        self.namespaces = (
            ROOT if not self.namespaces and namespace == "/" else (*self.namespaces, namespace)
        )
        self.send(packets.connected(namespace, server.new_sid()), *greeting)

    def _left(self, namespace: str) -> None:
        self.namespaces = tuple(name for name in self.namespaces if name != namespace)
        self.server.application.disconnected(self, namespace)
        if not self.namespaces:
            server = self.server
            server.wheel.schedule(EngineSession.check_connected, self, server.limits.handshake_s)

    def ended(self) -> None:
        """The carrier is gone or going: the session leaves every namespace."""
        self._assembly = None
        if self.address:
            self.server.admission.give_back(self.address)
            self.address = 0
        namespaces, self.namespaces = self.namespaces, ()
        for namespace in namespaces:
            self.server.application.disconnected(self, namespace)
