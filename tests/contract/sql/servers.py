"""MariaDB and PostgreSQL for the contract tests: started once, migrated once, emptied per test."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, delete

from miaosha.adapters.sql.engine import driver_url
from miaosha.adapters.sql.migrate import upgrade
from miaosha.adapters.sql.serverdb import ServerDatabase
from miaosha.adapters.sql.serverpool import READING, WRITING, server_engine
from miaosha.adapters.sql.tables import metadata
from miaosha.supervisor.sqlservers import SqlServer

CONNECTIONS = 8


@contextmanager
def running(start: Callable[[Path], Awaitable[SqlServer]]) -> Iterator[SqlServer]:
    """A private server for the length of a block; migrated."""
    with tempfile.TemporaryDirectory(prefix="ms-sql-", dir="/tmp") as name:
        server = asyncio.run(_awaited(start(Path(name))))
        try:
            upgrade(server.url)
            yield server
        finally:
            asyncio.run(server.stop())


async def _awaited(starting: Awaitable[SqlServer]) -> SqlServer:
    return await starting


def connected(url: str) -> ServerDatabase:
    parsed = driver_url(url)
    return ServerDatabase(
        server_engine(parsed, WRITING, CONNECTIONS), server_engine(parsed, READING, CONNECTIONS)
    )


async def emptied(database: ServerDatabase) -> ServerDatabase:
    """Without any row."""

    def unit(connection: Connection) -> None:
        for table in reversed(metadata.sorted_tables):
            connection.execute(delete(table))

    await database.write(unit)
    return database
