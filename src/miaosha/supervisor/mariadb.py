"""Starts a private MariaDB, and a read-only replica of it, from the system's package."""

import asyncio
import secrets
import shutil
from pathlib import Path

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

REPLICA_USER = "replica"
NOT_INSTALLED = "no mariadbd on this machine. On Debian or Ubuntu: apt install mariadb-server"


async def start_mariadb(directory: Path, name: str = "mariadb") -> SqlServer:
    """A durable primary with an empty database and a user; its files are in `directory`/`name`.

    Raises:
        DependencyDown: not installed, or it did not start.
    """
    server = await asyncio.to_thread(_mariadb, directory, name, 1)
    await _first_start(
        server,
        f"CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;",
        f"CREATE USER '{USER}'@'{LOOPBACK}' IDENTIFIED BY '{server.password}';",
        f"GRANT ALL ON `{DATABASE}%`.* TO '{USER}'@'{LOOPBACK}';",
        f"GRANT REPLICA MONITOR ON *.* TO '{USER}'@'{LOOPBACK}';",
        f"CREATE USER '{REPLICA_USER}'@'{LOOPBACK}' IDENTIFIED BY '{server.password}';",
        f"GRANT REPLICATION SLAVE ON *.* TO '{REPLICA_USER}'@'{LOOPBACK}';",
    )
    return server


async def start_mariadb_replica(
    directory: Path, primary: SqlServer, name: str = "replica", *, delay_s: int = 0
) -> SqlServer:
    """A read-only copy of `primary` from its first change on, `delay_s` seconds behind it.

    Raises:
        DependencyDown: not installed, or it did not start.
    """
    server = await asyncio.to_thread(_mariadb, directory, name, 2)
    server.args += ["--read-only"]
    server.password = primary.password
    await _first_start(
        server,
        f"CHANGE MASTER TO MASTER_HOST='{LOOPBACK}', MASTER_PORT={primary.port}, "
        f"MASTER_USER='{REPLICA_USER}', MASTER_PASSWORD='{primary.password}', "
        f"MASTER_CONNECT_RETRY=1, MASTER_DELAY={delay_s}, MASTER_USE_GTID=slave_pos;",
        "START SLAVE;",
    )
    return server


def _mariadb(directory: Path, name: str, server_id: int) -> SqlServer:
    binary = find("mariadbd", Path("/usr/sbin/mariadbd"))
    install = find("mariadb-install-db", Path("/usr/bin/mariadb-install-db"))
    if not binary or not install:
        raise DependencyDown(NOT_INSTALLED)
    home, account = make_home(directory, name, "mysql")
    data, port = home / "data", free_port()
    scratch = home / "tmp"
    scratch.mkdir()
    shutil.chown(scratch, account)
    making = [install, "--no-defaults", f"--datadir={data}", "--skip-test-db"]
    making += ["--skip-name-resolve", "--auth-root-authentication-method=socket"]
    # Its own: a server that starts removes what others have in a shared one.
    making += [f"--tmpdir={scratch}"]
    run(making, account, home)
    args = [binary, "--no-defaults", f"--datadir={data}", f"--port={port}"]
    args += [f"--tmpdir={scratch}"]
    args += [f"--bind-address={LOOPBACK}", f"--socket={home}/sql.sock", f"--pid-file={home}/pid"]
    args += ["--character-set-server=utf8mb4", "--collation-server=utf8mb4_bin"]
    args += ["--sync-binlog=1", "--innodb-flush-log-at-trx-commit=1", "--skip-name-resolve"]
    args += ["--innodb-buffer-pool-size=128M", "--innodb-log-file-size=64M"]
    args += [f"--server-id={server_id}", f"--log-bin={data}/binlog", "--log-slave-updates"]
    args += ["--gtid-strict-mode", "--max-connections=400", "--skip-slave-start=0"]
    password = secrets.token_hex(16)
    return SqlServer(home, port, "mariadb", password, account, args, _mariadb_greets)


async def _first_start(server: SqlServer, *statements: str) -> None:
    """With statements the server runs before it lets anybody in; they hold the password."""
    first = server.home / "first.sql"
    first.write_text("\n".join(statements) + "\n")
    shutil.chown(first, server.account)
    first.chmod(0o600)
    await server.start(f"--init-file={first}")
    first.unlink()


async def _mariadb_greets(port: int) -> bool:
    """The server speaks first, once it lets clients in."""
    try:
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    try:
        async with asyncio.timeout(5):
            return b"MariaDB" in await reader.read(256)
    except (OSError, TimeoutError):
        return False
    finally:
        writer.close()
