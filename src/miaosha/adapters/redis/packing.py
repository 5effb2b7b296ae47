"""Connections that pack commands by hiredis: a batch of 256 requests is a command of 260 words, and
redis-py's asyncio connections pack each word in Python.
"""

from typing import Any, Final

import hiredis
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection


class _Packing:
    """Goes before a connection class of redis-py."""

    def pack_command(self, *args: Any) -> list[bytes]:
        name = args[0]
        if isinstance(name, str) and " " in name:  # "XGROUP CREATE": words of their own
            args = (*name.split(), *args[1:])
        return [hiredis.pack_command(args)]  # it takes words of any kind


class PackingConnection(_Packing, Connection):
    pass


class PackingSSLConnection(_Packing, SSLConnection):
    pass


class PackingUnixConnection(_Packing, UnixDomainSocketConnection):
    pass


PACKING: Final[dict[type[Any], type[Any]]] = {
    Connection: PackingConnection,
    SSLConnection: PackingSSLConnection,
    UnixDomainSocketConnection: PackingUnixConnection,
}
