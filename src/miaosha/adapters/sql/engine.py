"""Engine: from a URL to a `Database`, its driver and which of the two implementations."""

import os
from pathlib import Path
from urllib.parse import SplitResult, quote

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from miaosha.adapters.options import checked_options
from miaosha.adapters.sql.database import Database
from miaosha.adapters.sql.file_database import FileDatabase
from miaosha.domain.errors import SettingsError
from miaosha.domain.urls import path_fault

DRIVERS = {
    "sqlite": "sqlite+pysqlite",
    "mysql": "mysql+asyncmy",
    "mariadb": "mariadb+asyncmy",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
}
PATH_MAX = 480  # bytes of a database's absolute path: SQLite has 512, its own endings included
OPTIONS = {  # in the query, by name: whether it is a file
    "mysql": {
        **dict.fromkeys(("charset", "unix_socket", "ssl_check_hostname"), False),
        **dict.fromkeys(("ssl_ca", "ssl_cert", "ssl_key"), True),
    },
    "postgresql": {"ssl": False, "prepared_statement_cache_size": False},
}
OPTIONS["mariadb"] = OPTIONS["mysql"]
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
CONNECTIONS = 10
LAG_MAX_MS = 5_000
EXPECTED = "expected sqlite:///FILE, mysql://…, mariadb://… or postgresql://…"


def driver_url(url: str) -> URL:
    """The URL with the driver this project uses.

    Raises:
        SettingsError: another database, not a URL, or SQLite without a file. The message never
            holds the password.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise SettingsError(f"MIAOSHA_DATABASE_URL: not a URL; {EXPECTED}") from None
    shown = parsed.render_as_string(hide_password=True)
    driver = DRIVERS.get(parsed.drivername.partition("+")[0])
    if driver is None:
        raise SettingsError(f"MIAOSHA_DATABASE_URL={shown}: {EXPECTED}")
    try:
        if is_file(parsed) and "?" in url:
            raise ValueError("with a ?, which is written %3F in the path of a file")
        return (_file if is_file(parsed) else _server)(parsed.set(drivername=driver))
    except ValueError as error:
        raise SettingsError(f"MIAOSHA_DATABASE_URL={shown}: {EXPECTED}, not one {error}") from None


def _file(url: URL) -> URL:
    """Raises ValueError: it names no file, or one that SQLite cannot open."""
    if url.host or url.database in (None, "", ":memory:"):
        raise ValueError("without the file that SQLite needs")
    path = url.database  # decoded by make_url
    if fault := path_fault(path):
        raise ValueError(f"whose path is none: {fault}")
    if len(os.fsencode(Path(path).resolve())) > PATH_MAX:
        raise ValueError(f"with a path of more than {PATH_MAX} bytes, which is all SQLite takes")
    return url


def _server(url: URL) -> URL:
    """Raises ValueError: what its driver would only meet when it connects."""
    known = OPTIONS[url.get_backend_name()]
    if not url.database:
        raise ValueError("without the name of a database at its end")
    if not url.host and "unix_socket" not in url.query:
        raise ValueError("without a host")
    if url.port is not None and not 0 < url.port < 65_536:
        raise ValueError("with a port that is none")
    query = "&".join(f"{name}={quote(str(value))}" for name, value in url.query.items())
    options = checked_options(SplitResult("", "", "", query, ""), known)
    if options.get("charset", "utf8mb4") != "utf8mb4":
        raise ValueError("with a charset other than utf8mb4")
    if options.get("ssl", "require") not in SSL_MODES:
        raise ValueError(f"with an ssl other than {', '.join(SSL_MODES)}")
    return url


def is_file(url: URL) -> bool:
    return url.drivername.startswith("sqlite")


def open_database(
    url: str,
    replica_url: str = "",
    *,
    connections: int = CONNECTIONS,
    replica_lag_max_ms: int = LAG_MAX_MS,
) -> Database:
    """Open nothing yet: connections are made by the first call.

    Args:
        url: `MIAOSHA_DATABASE_URL`.
        replica_url: a copy of it for reads that tolerate lag; SQLite has none.
        connections: of a server, at most: for writes, as many for reads, as many to the replica.
        replica_lag_max_ms: while the replica is further behind, or away, the primary answers.

    Raises:
        SettingsError: see `driver_url`, or the driver is not installed.
    """
    primary = driver_url(url)
    if is_file(primary):
        return FileDatabase(primary)
    from miaosha.adapters.sql.server_database import ServerDatabase  # 0.3 s a start
    from miaosha.adapters.sql.server_pool import READING, WRITING, server_engine

    try:
        copy = server_engine(driver_url(replica_url), READING, connections) if replica_url else None
        writing = server_engine(primary, WRITING, connections)
        reading = server_engine(primary, READING, connections)
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"MIAOSHA_DATABASE_URL: the driver {error.name} is not installed"
        ) from error
    return ServerDatabase(writing, reading, copy, lag_max_ms=replica_lag_max_ms)
