"""A private PostgreSQL from the system's package."""

import asyncio
import secrets
import signal
from functools import partial
from pathlib import Path
from typing import Any, Final

from miaosha.domain.errors import DependencyDown
from miaosha.supervisor.servers.packaged_server import (
    LOOPBACK,
    USER,
    account_of,
    find,
    free_ports,
    make_home,
)
from miaosha.supervisor.servers.sql_server import DATABASE, SqlServer

ACCOUNT: Final = "postgres"
NOT_INSTALLED: Final = (
    "no PostgreSQL server on this machine. On Debian or Ubuntu: apt install postgresql"
)


async def start_postgres(directory: Path, name: str = "postgres") -> SqlServer:
    """A durable server with an empty database and a user; its files are in `directory`/`name`.

    Raises:
        DependencyDown: not installed, or it did not start.
    """
    server = await asyncio.to_thread(_postgres, directory, name)
    await server.start()
    connection = await _connect(server.port, server.password)
    try:
        await connection.execute(f"CREATE DATABASE {DATABASE}")
    finally:
        await connection.close()
    return server


def installed() -> bool:
    return None not in _programs()


def _programs() -> tuple[str | None, str | None]:
    """The server, and what fills a data directory for it; of the newest version."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    folder = versions[-1] if versions else Path("/nonexistent")
    return find("postgres", folder / "postgres"), find("initdb", folder / "initdb")


def _postgres(directory: Path, name: str) -> SqlServer:
    binary, install = _programs()
    if not binary or not install:
        raise DependencyDown(NOT_INSTALLED)
    account = account_of(ACCOUNT)
    home = make_home(directory, name, account)
    (port,), password, secret = free_ports(1), secrets.token_hex(16), home / "password"

    def making(data: Path) -> list[str]:
        words = [install, "-D", data.name, "-U", USER, f"--pwfile={secret.name}", "--no-sync"]
        return [*words, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]

    settings = {
        "listen_addresses": LOOPBACK,
        "port": str(port),
        "unix_socket_directories": "..",  # it works in its data directory
        "fsync": "on",
        "synchronous_commit": "on",
        "max_connections": "200",
    }
    args = [binary, "-D", "data"]
    args += [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
    server = SqlServer(
        home=home,
        args=args,
        account=account,
        ready=partial(_answers, port, password),
        install=making,
        stop_signal=signal.SIGINT,
        port=port,
        scheme="postgresql",
        password=password,
    )
    secret.touch(mode=0o600)
    secret.write_text(password, "utf-8")
    server.own(secret)
    return server


async def _connect(port: int, password: str) -> Any:
    import asyncpg  # type: ignore[import-untyped] # 0.1 s, and only here

    return await asyncpg.connect(
        host=LOOPBACK, port=port, user=USER, password=password, database="postgres", timeout=5
    )


async def _answers(port: int, password: str) -> bool:
    import asyncpg

    try:
        connection = await _connect(port, password)
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return False
    await connection.close()
    return True
