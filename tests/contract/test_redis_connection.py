"""A connection to Redis that was lost between two commands, on the event loop the roles run on."""

import asyncio
import contextlib
import socket
import struct

import pytest
import uvloop
from redis.asyncio import ConnectionPool
from redis.exceptions import ConnectionError as ConnectionLost

from miaosha.adapters.redis.packing import PACKING

RESET = struct.pack("ii", 1, 0)  # close at once, as the kernel does for a process that was killed


def test_a_command_on_a_lost_connection_says_that_it_is_lost() -> None:
    async def scene() -> None:
        async def die(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()

        server = await asyncio.start_server(die, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        connection = PACKING[ConnectionPool().connection_class](host="127.0.0.1", port=port)
        await connection._connect()
        with contextlib.suppress(ConnectionResetError):
            await connection._reader.read()
        await asyncio.sleep(0)
        try:
            with pytest.raises(ConnectionLost):
                await connection.send_command("PING", check_health=False)
            assert not connection.is_connected, "the next command connects anew"
        finally:
            server.close()

    uvloop.run(scene())


async def test_a_command_on_a_connection_that_is_closed_meanwhile_says_so_too() -> None:
    connection = PACKING[ConnectionPool().connection_class]()
    connection._reader = connection._writer = object()

    async def closed_meanwhile() -> None:
        connection._reader = connection._writer = None

    connection.check_health = closed_meanwhile
    with pytest.raises(ConnectionLost):
        await connection.send_command("PING")
