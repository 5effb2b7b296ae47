"""MariaDB: a private server from the system's package, and a read-only replica of it."""

import secrets
from functools import partial
from pathlib import Path
from typing import Final

from miaosha.domain.errors import DependencyDown
from miaosha.supervisor.health_probes import heard
from miaosha.supervisor.servers.packaged_server import (
    LOOPBACK,
    USER,
    account_of,
    find,
    free_ports,
    make_home,
)
from miaosha.supervisor.servers.sql_server import DATABASE, SqlServer

ACCOUNT: Final = "mysql"
SERVER: Final = Path("/usr/sbin/mariadbd")
INSTALL: Final = Path("/usr/bin/mariadb-install-db")
SCRATCH: Final = "../tmp"  # seen from a data directory
REPLICA_USER: Final = "replica"
LOG_DAYS: Final = 7  # of binary log: a replica away for longer must be made anew
NOT_INSTALLED: Final = (
    "no mariadbd on this machine. On Debian or Ubuntu: apt install mariadb-server"
)


def installed() -> bool:
    return None not in (find("mariadbd", SERVER), find("mariadb-install-db", INSTALL))


def prepare_mariadb(directory: Path, name: str = "mariadb", password: str = "") -> SqlServer:
    """The primary in `directory`/`name`, new or of an earlier start; nothing runs yet.

    Args:
        password: the one it was made with; a new server may be given any. Empty: made up.

    Raises:
        DependencyDown: not installed.
        SettingsError: see `make_home`.
    """
    server = _mariadb(directory, name, 1, password or secrets.token_hex(16))
    told = f"IDENTIFIED BY '{server.password}'"
    _at_start(
        server,
        f"CREATE DATABASE IF NOT EXISTS {DATABASE} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;",
        f"CREATE USER IF NOT EXISTS '{USER}'@'{LOOPBACK}' {told};",
        f"GRANT ALL ON `{DATABASE}%`.* TO '{USER}'@'{LOOPBACK}';",
        f"GRANT REPLICA MONITOR ON *.* TO '{USER}'@'{LOOPBACK}';",
        f"CREATE USER IF NOT EXISTS '{REPLICA_USER}'@'{LOOPBACK}' {told};",
        f"GRANT REPLICATION SLAVE ON *.* TO '{REPLICA_USER}'@'{LOOPBACK}';",
    )
    return server


def prepare_mariadb_replica(
    directory: Path, primary: SqlServer, name: str = "replica", *, delay_s: int = 0
) -> SqlServer:
    """The replica in `directory`/`name`, which goes on where it was; nothing runs yet. It may start
    before its primary. Raises as `prepare_mariadb`."""
    server = _mariadb(directory, name, 2, primary.password)
    server.args += ["--read-only", "--skip-slave-start"]
    _at_start(
        server,
        f"CHANGE MASTER TO MASTER_HOST='{LOOPBACK}', MASTER_PORT={primary.port}, "
        f"MASTER_USER='{REPLICA_USER}', MASTER_PASSWORD='{primary.password}', "
        f"MASTER_CONNECT_RETRY=1, MASTER_DELAY={delay_s}, MASTER_USE_GTID=slave_pos;",
        "START SLAVE;",
    )
    return server


def _mariadb(directory: Path, name: str, server_id: int, password: str) -> SqlServer:
    binary, install = find("mariadbd", SERVER), find("mariadb-install-db", INSTALL)
    if not binary or not install:
        raise DependencyDown(NOT_INSTALLED)
    account = account_of(ACCOUNT)
    home = make_home(directory, name, account)
    (port,) = free_ports(1)

    def making(data: Path) -> list[str]:
        words = [install, "--no-defaults", f"--datadir=./{data.name}", "--skip-test-db"]
        words += ["--skip-name-resolve", "--auth-root-authentication-method=socket"]
        # Its own: a server that starts removes what others have in a shared one.
        return [*words, f"--tmpdir={SCRATCH}"]

    server = SqlServer(
        home=home,
        args=[binary, "--no-defaults", *_options(port, server_id)],
        account=account,
        ready=partial(_greets, port),
        install=making,
        port=port,
        scheme="mariadb",
        password=password,
    )
    scratch = home / "tmp"
    scratch.mkdir(exist_ok=True)
    server.own(scratch)
    return server


def _options(port: int, server_id: int) -> list[str]:
    """It starts in its home, and works in its data directory: no path is split at a blank or a
    colon, and a socket's is short, wherever the home is."""
    return [
        *("--datadir=./data", f"--tmpdir={SCRATCH}", f"--port={port}"),
        *(f"--bind-address={LOOPBACK}", "--socket=../sql.sock", "--pid-file=pid"),
        *("--character-set-server=utf8mb4", "--collation-server=utf8mb4_bin"),
        *("--sync-binlog=1", "--innodb-flush-log-at-trx-commit=1", "--skip-name-resolve"),
        *("--innodb-buffer-pool-size=128M", "--innodb-log-file-size=64M"),
        *(f"--server-id={server_id}", "--log-bin=binlog", "--log-slave-updates"),
        *("--gtid-strict-mode", "--max-connections=400", f"--expire-logs-days={LOG_DAYS}"),
    ]


def _at_start(server: SqlServer, *statements: str) -> None:
    """What the server runs at every start before it lets anybody in; it holds the password."""
    first = server.home / "first.sql"
    first.touch(mode=0o600)
    first.write_text("\n".join(statements) + "\n", "utf-8")
    server.own(first)
    server.args.append(f"--init-file=../{first.name}")


async def _greets(port: int) -> bool:
    """The server speaks first, once it lets clients in."""
    return b"MariaDB" in (await heard((LOOPBACK, port), bytes_max=256, within_s=5) or b"")
