"""From a URL to a `Database`: the driver, and which of the two implementations."""

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from miaosha.adapters.sql.database import Database
from miaosha.adapters.sql.filedb import FileDatabase
from miaosha.domain.errors import SettingsError

DRIVERS = {
    "sqlite": "sqlite+pysqlite",
    "mysql": "mysql+asyncmy",
    "mariadb": "mariadb+asyncmy",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
}
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
    if is_file(parsed) and parsed.database in (None, "", ":memory:"):
        raise SettingsError(f"MIAOSHA_DATABASE_URL={shown}: SQLite needs a file; {EXPECTED}")
    return parsed.set(drivername=driver)


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
    from miaosha.adapters.sql.serverdb import ServerDatabase  # 0.3 s a start
    from miaosha.adapters.sql.serverpool import READING, WRITING, server_engine

    try:
        copy = server_engine(driver_url(replica_url), READING, connections) if replica_url else None
        writing = server_engine(primary, WRITING, connections)
        reading = server_engine(primary, READING, connections)
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"MIAOSHA_DATABASE_URL: the driver {error.name} is not installed"
        ) from error
    return ServerDatabase(writing, reading, copy, lag_max_ms=replica_lag_max_ms)
