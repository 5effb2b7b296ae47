"""Starts a private PostgreSQL from the system's package."""

import asyncio
import secrets
import shutil
import signal
from pathlib import Path
from typing import Any

from miaosha.domain.errors import DependencyDown
from miaosha.supervisor.sqlservers import (
    DATABASE,
    LOOPBACK,
    USER,
    SqlServer,
    find,
    free_port,
    make_home,
    run,
)

NOT_INSTALLED = "no PostgreSQL server on this machine. On Debian or Ubuntu: apt install postgresql"


async def start_postgres(directory: Path, name: str = "postgres") -> SqlServer:
    """A durable server with an empty database and a user; its files are in `directory`/`name`.

    Raises:
        DependencyDown: not installed, or it did not start.
    """
    server = await asyncio.to_thread(_postgres, directory, name)
    await server.start()
    connection = await _connect_postgres(server.port, server.password)
    try:
        await connection.execute(f"CREATE DATABASE {DATABASE}")
    finally:
        await connection.close()
    return server


def _postgres(directory: Path, name: str) -> SqlServer:
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    folder = versions[-1] if versions else Path("/nonexistent")
    binary = find("postgres", folder / "postgres")
    install = find("initdb", folder / "initdb")
    if not binary or not install:
        raise DependencyDown(NOT_INSTALLED)
    home, account = make_home(directory, name, "postgres")
    data, port, password = home / "data", free_port(), secrets.token_hex(16)
    secret = home / "password"
    secret.write_text(password)
    shutil.chown(secret, account)
    secret.chmod(0o600)
    making = [install, "-D", str(data), "-U", USER, f"--pwfile={secret}", "--no-sync"]
    making += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
    run(making, account, home)
    secret.unlink()
    settings = {
        "listen_addresses": LOOPBACK,
        "port": str(port),
        "unix_socket_directories": str(home),
        "fsync": "on",
        "synchronous_commit": "on",
        "max_connections": "200",
    }
    args = [binary, "-D", str(data)]
    args += [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]

    async def ready(port: int) -> bool:
        return await _postgres_answers(port, password)

    return SqlServer(
        home, port, "postgresql", password, account, args, ready, stop_signal=signal.SIGINT
    )


async def _connect_postgres(port: int, password: str) -> Any:
    import asyncpg  # type: ignore[import-untyped] # 0.1 s, and only here

    return await asyncpg.connect(
        host=LOOPBACK, port=port, user=USER, password=password, database="postgres", timeout=5
    )


async def _postgres_answers(port: int, password: str) -> bool:
    import asyncpg

    try:
        connection = await _connect_postgres(port, password)
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return False
    await connection.close()
    return True
