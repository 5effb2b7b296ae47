"""The proxy that cuts connections leaves none of its own open."""

import asyncio
import contextlib

from tests.contract.sql.cutting import CuttingProxy
from tests.kit.running import free_port


async def ends(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionResetError):  # it was not even let in
        assert await asyncio.wait_for(reader.read(), 20) == b""
    writer.close()
    with contextlib.suppress(ConnectionResetError):
        await writer.wait_closed()


async def test_a_server_that_is_away_ends_its_clients_connections() -> None:
    async with CuttingProxy(free_port()) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        await ends(reader, writer)


async def test_who_has_just_come_is_let_go_with_the_proxy() -> None:
    """Or the collector finds the socket, and its warning fails whatever test is next."""
    async with CuttingProxy(free_port()) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    await ends(reader, writer)
