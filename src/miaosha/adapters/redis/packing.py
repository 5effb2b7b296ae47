"""Packing connections: redis-py's connections, mended in two places.

hiredis packs the commands: a batch of 256 requests is a command of 260 words, and redis-py's
asyncio connections pack each word in Python. They also report a lost connection as one. Uvloop's
RuntimeError, and redis-py's AttributeError after a disconnect, would pass for defects. Nothing
would be tried again, and no new master looked for.
"""

from typing import Any, Final

import hiredis
from redis import exceptions
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection


class _Mended:
    """Goes before a connection class of redis-py."""

    async def send_packed_command(self, *args: Any, **options: Any) -> None:
        try:
            await super().send_packed_command(*args, **options)  # type: ignore[misc]
        except (RuntimeError, AttributeError) as error:  # of a closed transport; of none any more
            raise exceptions.ConnectionError(f"lost before a command was sent: {error}") from error

    def pack_command(self, *args: Any) -> list[bytes]:
        name = args[0]
        if isinstance(name, str) and " " in name:  # "XGROUP CREATE": words of their own
            args = (*name.split(), *args[1:])
        return [hiredis.pack_command(args)]  # it takes words of any kind


class PackingConnection(_Mended, Connection):
    pass


class PackingSSLConnection(_Mended, SSLConnection):
    pass


class PackingUnixConnection(_Mended, UnixDomainSocketConnection):
    pass


PACKING: Final[dict[type[Any], type[Any]]] = {
    Connection: PackingConnection,
    SSLConnection: PackingSSLConnection,
    UnixDomainSocketConnection: PackingUnixConnection,
}
