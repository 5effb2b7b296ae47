"""MariaDB: a private server, and a replica of it, started for a test."""

from pathlib import Path

from miaosha.supervisor.servers.mariadb import prepare_mariadb, prepare_mariadb_replica
from miaosha.supervisor.servers.sql_server import SqlServer


async def start_mariadb(directory: Path, name: str = "mariadb") -> SqlServer:
    """A durable primary with an empty database and a user; its files are in `directory`/`name`.

    Raises:
        DependencyDown: not installed, or it did not start.
    """
    server = prepare_mariadb(directory, name)
    await server.start()
    return server


async def start_mariadb_replica(
    directory: Path, primary: SqlServer, name: str = "replica", *, delay_s: int = 0
) -> SqlServer:
    """A read-only copy of `primary` from its first change on, `delay_s` seconds behind it.

    Raises:
        DependencyDown: not installed, or it did not start.
    """
    server = prepare_mariadb_replica(directory, primary, name, delay_s=delay_s)
    await server.start()
    return server
