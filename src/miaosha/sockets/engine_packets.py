"""Engine packets: Engine.IO v4, one type character and a payload. No I/O, no Socket.IO.

Over WebSocket a packet is one message: text for these, binary for a bare message of bytes. Over
HTTP several make a payload, separated by \\x1e; a binary one is `b` and its base64.
https://github.com/socketio/socket.io/tree/main/docs/engine.io-protocol
"""

import base64
import binascii
import os
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from miaosha.sockets.frames import Opcode, frame

PROTOCOL: Final = b"4"
SEPARATOR: Final = b"\x1e"
SID_BYTES: Final = 15  # of chance in an id; a multiple of 3, so that base64 has no padding
SIDS: Final = 64  # made at a time


class EnginePacketType(StrEnum):
    OPEN = "0"
    CLOSE = "1"
    PING = "2"
    PONG = "3"
    MESSAGE = "4"
    UPGRADE = "5"
    NOOP = "6"


class EngineError(Exception):
    """A packet that no client may send."""


class Failure:
    """Handshake errors as Engine.IO numbers them: (code, message) of a 400 or 403 body."""

    TRANSPORT = (0, "Transport unknown")
    SESSION = (1, "Session ID unknown")
    METHOD = (2, "Bad handshake method")
    REQUEST = (3, "Bad request")
    FORBIDDEN = (4, "Forbidden")
    VERSION = (5, "Unsupported protocol version")


class Outbound:
    """A packet encoded once for every transport and every recipient.

    Attributes:
        packet: the packet as polling sends it (text), or raw bytes if `binary`.
        frame: the same as a WebSocket frame.
    """

    __slots__ = ("binary", "frame", "packet")

    def __init__(self, packet: bytes, *, binary: bool = False) -> None:
        self.packet = packet
        self.binary = binary
        self.frame = frame(Opcode.BINARY if binary else Opcode.TEXT, packet)


PING: Final = Outbound(b"2")
_TYPES: Final = {kind.value: kind for kind in EnginePacketType}


def decode(text: str) -> tuple[EnginePacketType, str]:
    """(type, payload) of a text packet. Raises EngineError for an empty or unknown one."""
    kind = _TYPES.get(text[:1])
    if kind is None:
        raise EngineError("unknown packet type")
    return kind, text[1:]


def open_packet(
    sid: str, upgrades: bytes, ping_interval_ms: int, ping_timeout_ms: int, max_payload: int
) -> Outbound:
    """The server's first packet: the session's id (needs no quoting), the transports it may be
    upgraded to (a JSON list), and the times and size that a client must keep."""
    return Outbound(
        b'0{"sid":"%b","upgrades":%b,"pingInterval":%d,"pingTimeout":%d,"maxPayload":%d}'
        % (sid.encode(), upgrades, ping_interval_ms, ping_timeout_ms, max_payload)
    )


def message(payload: bytes, *, binary: bool = False) -> Outbound:
    """A message packet; a binary one has no type character over WebSocket."""
    return Outbound(payload, binary=True) if binary else Outbound(b"4" + payload)


def packets(payload: bytes) -> Iterator[str | bytes]:
    """The packets of a payload, one at a time: text, or the bytes of a binary message.

    Raises:
        EngineError: when it comes to something that is not UTF-8 or not base64.
    """
    start, end = 0, 0
    while end >= 0:
        end = payload.find(SEPARATOR, start)
        packet = payload[start:] if end < 0 else payload[start:end]
        start = end + 1
        try:
            if packet[:1] == b"b":
                yield base64.b64decode(packet[1:], validate=True)
            else:
                yield packet.decode()
        except (binascii.Error, UnicodeDecodeError):
            raise EngineError("undecodable packet") from None


def payload(packets: Sequence[Outbound]) -> bytes:
    """The body of the response to a GET."""
    return SEPARATOR.join(
        [b"b" + base64.b64encode(one.packet) if one.binary else one.packet for one in packets]
    )


def failure_body(failure: tuple[int, str]) -> bytes:
    code, text = failure
    return msgspec.json.encode({"code": code, "message": text})


class Sids:
    """Makes ids that cannot be guessed. Each starts with its process's number, by which an edge may
    route. The kernel is asked for the chance of many ids at a time.
    """

    def __init__(self, instance: str) -> None:
        self._instance = instance
        self._ready: list[str] = []

    def new(self) -> str:
        if not self._ready:
            text = base64.urlsafe_b64encode(os.urandom(SID_BYTES * SIDS)).decode()
            size = len(text) // SIDS
            self._ready = [text[at : at + size] for at in range(0, len(text), size)]
        return f"{self._instance}-{self._ready.pop()}"
