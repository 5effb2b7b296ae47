"""Client wire: the bytes of a rehearsal's socket, without an object for each socket.

Frames are masked with zeros, which RFC 6455 allows and which costs nothing.
"""

import os
import socket
import ssl
from typing import Final

KEY: Final = b"dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455's own example, and its answer
ACCEPT: Final = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
READ_MAX: Final = 65_536
REST_MAX: Final = 262_144  # of a message that has not ended
TEXT: Final = 1
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10
BIND_ADDRESS_NO_PORT: Final = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)
MASK: Final = b"\0\0\0\0"


class Garbage(Exception):
    """What the server sent is no WebSocket frame of a server."""


def upgrade(host: str, path: str) -> bytes:
    return (
        f"GET {path}?EIO=4&transport=websocket HTTP/1.1\r\nHost: {host}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: {KEY.decode()}\r\n\r\n"
    ).encode()


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """A client's frame of at most 65,535 bytes."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, 0x80 | size)) + MASK + payload
    return bytes((0x80 | opcode, 0x80 | 126)) + size.to_bytes(2, "big") + MASK + payload


def connect(token: bytes, sale_id: int) -> bytes:
    """The Socket.IO CONNECT, with a token unless that is empty, and a sale to watch unless 0."""
    auth = [b'"token":"%b"' % token] if token else []
    if sale_id:
        auth.append(b'"watch":%d' % sale_id)
    return frame(b"40{%b}" % b",".join(auth))


def watch(sale_id: int) -> bytes:
    """The event that asks to watch, with the acknowledgement 0."""
    return frame(b'420["watch",{"sale_id":%d}]' % sale_id)


def split(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """The whole frames in `data` as (opcode, payload), and what is left. Raises Garbage."""
    found = []
    at, end = 0, len(data)
    while end - at >= 2:
        first, size = data[at], data[at + 1]
        start = at + 2
        if first & 0xF0 != 0x80 or size > 127:
            raise Garbage("frame header")
        if size == 126:
            size, start = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
        elif size == 127:
            size, start = int.from_bytes(data[at + 2 : at + 10], "big"), at + 10
        if size > REST_MAX:
            raise Garbage("frame size")
        if end < start + size:
            break
        found.append((first & 15, data[start : start + size]))
        at = start + size
    return found, data[at:]


class Wires:
    """Sockets by descriptor: nothing but a number each, and with TLS what OpenSSL needs."""

    def __init__(self, *, tls: bool, host: str) -> None:
        self._host = host.partition(":")[0]
        self._tls: dict[int, ssl.SSLSocket] = {}
        self._context: ssl.SSLContext | None = None
        if tls:
            self._context = ssl.create_default_context()
            self._context.check_hostname = False
            self._context.verify_mode = ssl.CERT_NONE

    def open(self, target: str, source: str) -> int:
        """Begin to connect; the descriptor. Raises OSError."""
        if target.startswith("unix:"):
            unix = socket.socket(socket.AF_UNIX)
            unix.setblocking(False)
            try:
                unix.connect(target.removeprefix("unix:"))
            except OSError:
                unix.close()
                raise
            return unix.detach()
        host, _, port = target.rpartition(":")
        host = host.strip("[]")
        tcp = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        try:
            tcp.setblocking(False)
            if source:
                tcp.setsockopt(socket.IPPROTO_IP, BIND_ADDRESS_NO_PORT, 1)
                tcp.bind((source, 0))
            code = tcp.connect_ex((host, int(port)))
            if code and code != 115:  # EINPROGRESS
                raise OSError(code, os.strerror(code))
        except OSError:
            tcp.close()
            raise
        return tcp.detach()

    def established(self, fd: int) -> None:
        """The connection stands, or not. Raises OSError."""
        with socket.socket(fileno=fd) as probe:
            code = probe.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            probe.detach()
        if code:
            raise OSError(code, os.strerror(code))

    def secure(self, fd: int) -> bool:
        """Take the TLS handshake further. True: nothing more to do. Raises OSError."""
        if self._context is None:
            return True
        wrapped = self._tls.get(fd)
        if wrapped is None:
            plain = socket.socket(fileno=fd)
            plain.setblocking(False)
            wrapped = self._context.wrap_socket(
                plain, server_hostname=self._host, do_handshake_on_connect=False
            )
            self._tls[fd] = wrapped
        try:
            wrapped.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        return True

    def read(self, fd: int) -> bytes:
        """What has come, b"" at the end of the stream. Raises BlockingIOError, OSError."""
        if self._context is None:
            return os.read(fd, READ_MAX)
        wrapped = self._tls[fd]
        try:
            data: bytes = wrapped.recv(READ_MAX)
            while wrapped.pending():  # epoll does not know what OpenSSL has read already
                data += wrapped.recv(READ_MAX)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None
        return data

    def write(self, fd: int, data: bytes) -> None:
        """All of it, or OSError: what we say always fits an empty buffer."""
        sent = os.write(fd, data) if self._context is None else self._tls[fd].send(data)
        if sent < len(data):
            raise BlockingIOError(11, "send buffer full")

    def close(self, fd: int) -> None:
        wrapped = self._tls.pop(fd, None)
        if wrapped is None:
            os.close(fd)
        else:
            wrapped.close()
