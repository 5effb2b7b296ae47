"""Frames: RFC 6455 on the server's side, without I/O: masked frames in, unmasked frames out.

This module owns framing, fragmentation, UTF-8, lengths and close codes. It knows nothing of HTTP,
Engine.IO or sockets. It negotiates no extension, so a reserved bit is a protocol error. A reader
keeps at most one message of `message_max` bytes and the last chunk it was fed.
"""

import binascii
import hashlib
from enum import IntEnum
from typing import Final, NamedTuple

GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTROL_MAX: Final = 125  # bytes of a control frame's payload
FRAGMENTS_MAX: Final = 256  # fragments of one message


class Opcode(IntEnum):
    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


class WebSocketError(Exception):
    """The peer broke the protocol: fail the connection with `code` (1002, 1007 or 1009)."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Message(NamedTuple):
    """A whole data message, or one control frame. `payload` is a str exactly when it is text."""

    opcode: Opcode
    payload: str | bytes


_OPCODES: Final = {int(opcode): opcode for opcode in Opcode}


class FrameReader:
    """Feed bytes in any pieces, take messages out until `next_message` returns None.

    Args:
        message_max: bytes of one data message, all its fragments together.
    """

    __slots__ = ("_buffer", "_fragments", "_max", "_opcode", "_parts")

    def __init__(self, message_max: int) -> None:
        self._max = message_max
        self._buffer = bytearray()
        self._parts = bytearray()
        self._opcode: Opcode | None = None  # of the message whose fragments are arriving
        self._fragments = 0

    @property
    def idle(self) -> bool:
        """True between messages: nothing is kept and the reader may be thrown away."""
        return not self._buffer and self._opcode is None

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def next_message(self) -> Message | None:
        """The next complete message or control frame, None when more bytes are needed.

        Raises:
            WebSocketError: the bytes are no valid frames; the reader is of no use any more.
        """
        while (frame := self._frame()) is not None:
            final, opcode, payload = frame
            if opcode >= Opcode.CLOSE:
                return Message(opcode, payload)
            if final and self._opcode is None:
                return _data(opcode, payload)
            self._parts += payload
            self._fragments += 1
            if final:
                return self._joined()
            if self._fragments >= FRAGMENTS_MAX:
                raise WebSocketError(1009, "too many fragments")
            self._opcode = self._opcode or opcode
        return None

    def _joined(self) -> Message:
        assert self._opcode is not None
        opcode, payload = self._opcode, bytes(self._parts)
        self._opcode = None
        self._parts = bytearray()
        self._fragments = 0
        return _data(opcode, payload)

    def _frame(self) -> tuple[bool, Opcode, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        opcode = self._check(buffer[0], buffer[1])
        length = buffer[1] & 0x7F
        start = 2
        if length >= 126:
            start = 4 if length == 126 else 10
            if len(buffer) < start:
                return None
            length = _long_length(buffer, start)
        kept = 0 if opcode >= Opcode.CLOSE else len(self._parts)
        if length + kept > self._max and opcode < Opcode.CLOSE:
            raise WebSocketError(1009, "message too large")
        end = start + 4 + length
        if len(buffer) < end:
            return None
        payload = _unmask(buffer[start + 4 : end], buffer[start : start + 4])
        final = buffer[0] >= 0x80
        del buffer[:end]
        return final, opcode, payload

    def _check(self, first: int, second: int) -> Opcode:
        opcode = _OPCODES.get(first & 0x0F)
        if opcode is None:
            raise WebSocketError(1002, "reserved opcode")
        if first & 0x70:
            raise WebSocketError(1002, "reserved bit set")
        if not second & 0x80:
            raise WebSocketError(1002, "frame is not masked")
        if opcode >= Opcode.CLOSE:
            if not first & 0x80:
                raise WebSocketError(1002, "fragmented control frame")
            if second & 0x7F > CONTROL_MAX:
                raise WebSocketError(1002, "control frame too long")
        elif opcode is Opcode.CONTINUATION:
            if self._opcode is None:
                raise WebSocketError(1002, "nothing to continue")
        elif self._opcode is not None:
            raise WebSocketError(1002, "a fragmented message is not finished")
        return opcode


def whole_text(data: bytes, message_max: int) -> str | None:
    """The text of `data` if it is exactly one whole text frame of less than 64 KB, else None.

    Clients nearly always send such a frame, and it needs no FrameReader.
    """
    mask = 2 if len(data) < 134 else 4  # where it is: lengths above 125 take two bytes more
    size = len(data) - mask - 4
    if not 0 <= size <= min(message_max, 0xFFFF) or data[0] != 0x81:
        return None
    length = bytes((0x80 | size,)) if mask == 2 else b"\xfe" + size.to_bytes(2, "big")
    if data[1:mask] != length:
        return None
    key = (data[mask : mask + 4] * (size // 4 + 1))[:size]
    text = int.from_bytes(data[mask + 4 :], "little") ^ int.from_bytes(key, "little")
    try:
        return text.to_bytes(size, "little").decode()
    except UnicodeDecodeError:
        return None


def _long_length(buffer: bytearray, start: int) -> int:
    length = int.from_bytes(buffer[2:start], "big")
    if length < (126 if start == 4 else 0x10000) or length >> 63:
        raise WebSocketError(1002, "length is not in its shortest form")
    return length


def _unmask(payload: bytearray, mask: bytearray) -> bytes:
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")).to_bytes(
        size, "little"
    )


def _data(opcode: Opcode, payload: bytes) -> Message:
    if opcode is not Opcode.TEXT:
        return Message(opcode, payload)
    try:
        return Message(opcode, payload.decode())
    except UnicodeDecodeError:
        raise WebSocketError(1007, "text is not UTF-8") from None


def parse_close(payload: bytes) -> tuple[int, str]:
    """(code, reason) of a close frame; an empty one is (1005, "").

    Raises:
        WebSocketError: a code that may not be sent, or a reason that is not UTF-8.
    """
    if not payload:
        return 1005, ""
    code = int.from_bytes(payload[:2], "big")
    allowed = 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999
    if len(payload) < 2 or not allowed:
        raise WebSocketError(1002, "invalid close code")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise WebSocketError(1007, "close reason is not UTF-8") from None


def frame(opcode: int, payload: bytes) -> bytes:
    """One final, unmasked frame."""
    size = len(payload)
    first = 0x80 | opcode
    if size < 126:
        return bytes((first, size)) + payload
    if size < 0x10000:
        return bytes((first, 126)) + size.to_bytes(2, "big") + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload


def close_frame(code: int, reason: str = "") -> bytes:
    """A close frame; code 1005 makes an empty one."""
    if code == 1005:
        return frame(Opcode.CLOSE, b"")
    return frame(Opcode.CLOSE, code.to_bytes(2, "big") + reason.encode()[: CONTROL_MAX - 2])


def accept_key(key: bytes) -> bytes | None:
    """The Sec-WebSocket-Accept of a Sec-WebSocket-Key, None if the key is not 16 bytes."""
    try:
        if len(binascii.a2b_base64(key, strict_mode=True)) != 16:
            return None
    except binascii.Error:
        return None
    digest = hashlib.sha1(key + GUID, usedforsecurity=False).digest()
    return binascii.b2a_base64(digest, newline=False)
