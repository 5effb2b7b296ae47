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


def open_database(url: str, replica_url: str = "") -> Database:
    """Open nothing yet: connections are made by the first call.

    Args:
        url: `MIAOSHA_DATABASE_URL`.
        replica_url: a copy of it for reads that tolerate lag; SQLite has none.

    Raises:
        SettingsError: see `driver_url`, or the driver is not installed.
    """
    primary = driver_url(url)
    if is_file(primary):
        return FileDatabase(primary)
    from miaosha.adapters.sql.serverdb import ServerDatabase, server_engine  # 0.3 s a start

    try:
        replica = server_engine(driver_url(replica_url)) if replica_url else None
        return ServerDatabase(server_engine(primary), replica)
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"MIAOSHA_DATABASE_URL: the driver {error.name} is not installed"
        ) from error
