"""Connections: the generator's sockets, opened to a unix path or a host."""

import socket
import struct
from typing import Final

CONNECT_S: Final = 5.0


def connected(target: str, source: str = "") -> socket.socket:
    """A non-blocking socket connected to `unix:/path` or `host:port`. Raises OSError."""
    if target.startswith("unix:"):
        unix = socket.socket(socket.AF_UNIX)
        # not settimeout: a non-blocking connect fails at once when the server's backlog is full
        unix.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(CONNECT_S), 0))
        unix.connect(target.removeprefix("unix:"))
        unix.setblocking(False)
        return unix
    host, _, port = target.rpartition(":")
    tcp = socket.create_connection((host, int(port)), CONNECT_S, (source, 0) if source else None)
    tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    tcp.setblocking(False)
    return tcp
