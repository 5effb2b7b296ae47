"""Packets: Socket.IO v5, `<type>[<attachments>-][<namespace>,][<ack id>][JSON]`, without I/O.

A binary packet is followed by its attachments, each a binary message; `Assembly` gathers them.
https://github.com/socketio/socket.io/tree/main/docs/socket.io-protocol
"""

import re
from enum import IntEnum
from typing import Any, Final, NamedTuple

import msgspec

from miaosha.sockets import engine_packets
from miaosha.sockets.engine_packets import Outbound

ATTACHMENTS_MAX: Final = 10  # binary values in one packet
RESERVED: Final = frozenset({"connect", "connect_error", "disconnect", "disconnecting"})


class PacketType(IntEnum):
    CONNECT = 0
    DISCONNECT = 1
    EVENT = 2
    ACK = 3
    CONNECT_ERROR = 4
    BINARY_EVENT = 5
    BINARY_ACK = 6


class InvalidPacket(Exception):
    """Not a packet that a client may send; the reference server closes such a connection."""


class Packet(NamedTuple):
    """`data`: the auth object of a CONNECT (or None), the arguments of an EVENT or ACK."""

    type: PacketType
    namespace: str
    data: Any
    ack_id: int | None = None
    attachments: int = 0


_HEAD = re.compile(r"([0-6])(?:(\d{1,4})-)?(?:(/[^,]{0,255})(?:,|\Z))?(\d{1,15})?", re.ASCII)
_KINDS = tuple(PacketType)
_WITH_ID = (PacketType.EVENT, PacketType.ACK, PacketType.BINARY_EVENT, PacketType.BINARY_ACK)
_BINARY = (PacketType.BINARY_EVENT, PacketType.BINARY_ACK)
_json = msgspec.json.Decoder()


def decode(text: str) -> Packet:
    """The packet of one text message; a binary one still lacks its attachments.

    Raises:
        InvalidPacket: anything the protocol does not allow a client to send.
    """
    head = _HEAD.match(text)
    if head is None:
        raise InvalidPacket("no such packet")
    number, count, namespace, asked = head.groups()
    kind = _KINDS[int(number)]
    attachments = int(count or 0)
    ack_id = None if asked is None else int(asked)
    if (kind in _BINARY) != (count is not None) or attachments > ATTACHMENTS_MAX:
        raise InvalidPacket("attachments do not fit the packet")
    if ack_id is not None and kind not in _WITH_ID:
        raise InvalidPacket("this packet takes no id")
    packet = Packet(kind, namespace or "/", _payload(text[head.end() :]), ack_id, attachments)
    _check(packet)
    return packet


def _payload(text: str) -> Any:
    if not text:
        return None
    try:
        return _json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        raise InvalidPacket("payload is not JSON") from None


def _check(packet: Packet) -> None:
    kind, data = packet.type, packet.data
    match kind:
        case PacketType.CONNECT:
            good = data is None or isinstance(data, dict)
        case PacketType.DISCONNECT:
            good = data is None
        case PacketType.EVENT | PacketType.BINARY_EVENT:
            good = isinstance(data, list) and bool(data) and isinstance(data[0], str)
            good = good and data[0] not in RESERVED
        case PacketType.ACK | PacketType.BINARY_ACK:
            good = isinstance(data, list) and packet.ack_id is not None
        case _:
            good = False
    if not good:
        raise InvalidPacket(f"malformed {kind.name.lower()}")


class Assembly:
    """A binary packet whose attachments are still arriving.

    Args:
        bytes_max: bytes of all attachments together.
    """

    __slots__ = ("_max", "_packet", "_parts")

    def __init__(self, packet: Packet, bytes_max: int) -> None:
        self._packet = packet
        self._parts: list[bytes] = []
        self._max = bytes_max

    def add(self, part: bytes) -> Packet | None:
        """The whole packet once the last attachment is there. Raises InvalidPacket."""
        self._parts.append(part)
        if sum(map(len, self._parts)) > self._max:
            raise InvalidPacket("attachments are too large")
        if len(self._parts) < self._packet.attachments:
            return None
        return self._packet._replace(data=fill(self._packet.data, self._parts))


def fill(data: Any, parts: list[bytes]) -> Any:
    """`data` with every placeholder replaced by its part. Raises InvalidPacket."""
    try:
        return _fill(data, parts)
    except (RecursionError, LookupError):
        raise InvalidPacket("placeholders do not fit the attachments") from None


def _fill(data: Any, parts: list[bytes]) -> Any:
    if isinstance(data, list):
        return [_fill(item, parts) for item in data]
    if not isinstance(data, dict):
        return data
    if data.get("_placeholder") is True:
        number = data.get("num")
        if not isinstance(number, int) or number < 0:
            raise LookupError
        return parts[number]
    return {key: _fill(value, parts) for key, value in data.items()}


def encode(packet: Packet) -> list[Outbound]:
    """The packet as Engine.IO messages: its text, then its binary values."""
    parts: list[bytes] = []
    data = _strip(packet.data, parts)
    kind = packet.type
    if parts:
        kind = PacketType.BINARY_EVENT if kind is PacketType.EVENT else PacketType.BINARY_ACK
    text = b"%d" % kind
    if parts:
        text += b"%d-" % len(parts)
    text += b"" if packet.namespace == "/" else packet.namespace.encode() + b","
    text += b"" if packet.ack_id is None else b"%d" % packet.ack_id
    text += b"" if data is None else msgspec.json.encode(data)
    return [
        engine_packets.message(text),
        *(engine_packets.message(part, binary=True) for part in parts),
    ]


def _strip(data: Any, parts: list[bytes]) -> Any:
    if isinstance(data, bytes | bytearray):
        parts.append(bytes(data))
        return {"_placeholder": True, "num": len(parts) - 1}
    if isinstance(data, list | tuple):
        return [_strip(item, parts) for item in data]
    if isinstance(data, dict):
        return {key: _strip(value, parts) for key, value in data.items()}
    return data


def connected(namespace: str, sid: str) -> Outbound:
    """The confirmation of a CONNECT; the id needs no quoting."""
    where = b"" if namespace == "/" else namespace.encode() + b","
    return engine_packets.message(b'0%b{"sid":"%b"}' % (where, sid.encode()))


def event(name: str, argument: bytes) -> Outbound:
    """An event of the namespace `/` whose one argument is JSON already."""
    return engine_packets.message(b'2["%b",%b]' % (name.encode(), argument))


def ack(ack_id: int, argument: bytes) -> Outbound:
    """The acknowledgement of an event of `/` with one argument that is JSON already."""
    return engine_packets.message(b"3%d[%b]" % (ack_id, argument))
