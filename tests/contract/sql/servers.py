"""MariaDB and PostgreSQL for the contract tests: started once, migrated once, emptied per test."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from sqlalchemy import Connection, delete

from miaosha.adapters.sql.engine import driver_url
from miaosha.adapters.sql.migrate import upgrade
from miaosha.adapters.sql.server_database import ServerDatabase
from miaosha.adapters.sql.server_pool import READING, WRITING, server_engine
from miaosha.adapters.sql.tables import metadata
from miaosha.supervisor.servers.sql_server import SqlServer

CONNECTIONS = 8


def running(start: Callable[[Path], Awaitable[SqlServer]]) -> Iterator[SqlServer]:
    """A private, migrated server for a fixture of a whole session."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        try:
            yield runner.run(stack.enter_async_context(serving(start)))
        finally:
            runner.run(stack.aclose())


@asynccontextmanager
async def serving(start: Callable[[Path], Awaitable[SqlServer]]) -> AsyncIterator[SqlServer]:
    """A private, migrated server for the length of a block."""
    with tempfile.TemporaryDirectory(prefix="ms-sql-", dir="/tmp") as name:
        server = await start(Path(name))
        try:
            await asyncio.to_thread(upgrade, server.url)
            yield server
        finally:
            await server.stop()


def connected(url: str, *, write_timeout_s: float = 10) -> ServerDatabase:
    parsed = driver_url(url)
    return ServerDatabase(
        server_engine(parsed, WRITING, CONNECTIONS),
        server_engine(parsed, READING, CONNECTIONS),
        write_timeout_s=write_timeout_s,
    )


async def emptied(database: ServerDatabase) -> ServerDatabase:
    """Without any row."""

    def unit(connection: Connection) -> None:
        for table in reversed(metadata.sorted_tables):
            connection.execute(delete(table))

    await database.write(unit)
    return database


async def administer(server: SqlServer, *statements: str) -> None:
    """Said to a MariaDB by its administrator, over its socket."""
    command = ["/usr/bin/mariadb", "--no-defaults", f"--socket={server.home}/sql.sock"]
    process = await asyncio.create_subprocess_exec(
        *command, "-e", "; ".join(statements), stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    assert process.returncode == 0, said
