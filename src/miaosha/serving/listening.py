"""Listening: on a unix socket or a port, in the same way for every role.

The edge's workers may run as another user, so a unix socket is open to all: its directory says who
reaches it. A socket that a killed process left behind is replaced; no other file is.
"""

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final, NamedTuple

from miaosha.domain.errors import SettingsError

BACKLOG: Final = 4_096  # connections the kernel keeps until they are accepted
SOCKET_MODE: Final = 0o666
HERE: Final = "127.0.0.1"  # the host of an address that names none
PORT_MAX: Final = 65_535


class Address(NamedTuple):
    """`path` of a unix socket, or `host` and `port`, of which 0 lets the kernel choose."""

    path: str
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parsed(text: str, option: str = "--listen") -> Address:
    """`unix:/path` or `host:port`; `:port` is of this machine alone, and IPv6 has brackets.

    Raises:
        SettingsError: it is neither; names the `option`.
    """
    kind, _, path = text.partition(":")
    if kind == "unix" and path:
        return Address(path)
    host, colon, port = text.rpartition(":")
    if not (colon and port.isascii() and port.isdigit() and int(port) <= PORT_MAX):
        raise SettingsError(f"{option} {text!r}: expected unix:/path or host:port")
    return Address("", host.strip("[]") or HERE, int(port))


async def open_listener(
    connect: Callable[[], asyncio.Protocol], listen: str, *, shared: bool = False
) -> asyncio.Server:
    """Accept connections; close it by `close_listener`.

    Args:
        connect: makes the protocol of a connection.
        listen: as `parsed` reads it.
        shared: other processes may listen on the same port, too.

    Raises:
        SettingsError: the address is none, is taken, or cannot be had.
    """
    loop, address = asyncio.get_running_loop(), parsed(listen)
    try:
        if address.path:
            if _is_served(address.path):
                raise OSError(errno.EADDRINUSE, "")
            server = await loop.create_unix_server(connect, address.path, backlog=BACKLOG)
            _open_to_all(address.path)
            return server
        return await loop.create_server(
            connect, address.host, address.port, backlog=BACKLOG, reuse_port=shared
        )
    except (OSError, UnicodeError) as error:  # a host may be no name at all
        taken = getattr(error, "errno", 0) == errno.EADDRINUSE
        why = "the address is taken" if taken else str(error)
        raise SettingsError(f"--listen {listen}: {why}") from error


def _is_served(path: str) -> bool:
    """A living process listens there; EAGAIN: it is too busy to accept now."""
    with socket.socket(socket.AF_UNIX) as trial:
        trial.setblocking(False)
        return trial.connect_ex(path) in (0, errno.EAGAIN)


def _open_to_all(path: str) -> None:
    Path(path).chmod(SOCKET_MODE)


def close_listener(server: asyncio.Server, listen: str) -> None:
    """Accept nobody any more. Connections go on."""
    server.close()
    if path := parsed(listen).path:
        Path(path).unlink(missing_ok=True)


@contextlib.asynccontextmanager
async def listening(
    connect: Callable[[], asyncio.Protocol], listen: str, *, shared: bool = False
) -> AsyncIterator[asyncio.Server]:
    """`open_listener` while the body runs."""
    server = await open_listener(connect, listen, shared=shared)
    try:
        yield server
    finally:
        close_listener(server, listen)


def bound(server: asyncio.Server) -> Address:
    """Where it listens; the port is the one the kernel chose."""
    name = server.sockets[0].getsockname()
    return Address("", name[0], name[1]) if isinstance(name, tuple) else Address(str(name))
