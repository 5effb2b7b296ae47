"""A migrated SQLite file per test, reached by each implementation of `Database`.

`server` is the path the database servers take (async driver, pool, one transaction per unit), on
SQLite's async driver, so that its logic is tested where no server is installed. The same tests run
on MariaDB and PostgreSQL with `make test-servers`.
"""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from miaosha.adapters.sql.database import Database
from miaosha.adapters.sql.engine import open_database
from miaosha.adapters.sql.file_database import PRAGMAS, attach_rules
from miaosha.adapters.sql.migrate import upgrade
from miaosha.adapters.sql.server_database import ServerDatabase
from miaosha.supervisor.servers.sql_server import SqlServer
from tests.contract.sql.servers import connected, emptied, running
from tests.contract.sql.shop import Shop
from tests.kit.mariadb import start_mariadb
from tests.kit.postgres import start_postgres


@pytest.fixture(scope="session")
def migrated() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ms-sql-", dir="/tmp") as name:
        path = Path(name, "empty.sqlite")
        upgrade(f"sqlite:///{path}")
        yield path


@pytest.fixture
def database_path(migrated: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ms-sql-", dir="/tmp") as name:
        path = Path(name, "shop.sqlite")
        shutil.copy(migrated, path)
        yield path


def server_like(path: Path) -> ServerDatabase:
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}", pool_size=5, max_overflow=0, pool_timeout=5
    )
    attach_rules(engine.sync_engine, "BEGIN IMMEDIATE", PRAGMAS)
    return ServerDatabase(engine, engine)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[SqlServer]:
    yield from running(start_mariadb)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[SqlServer]:
    yield from running(start_postgres)


SERVERS = [pytest.param(name, marks=pytest.mark.servers) for name in ("mariadb", "postgresql")]


@pytest.fixture(params=SERVERS)
def sql_server(request: pytest.FixtureRequest) -> SqlServer:
    server: SqlServer = request.getfixturevalue(request.param)
    return server


@pytest.fixture(params=["file", "server", *SERVERS])
def database_url(request: pytest.FixtureRequest) -> str:
    """Of each kind; `server+sqlite` is SQLite by the servers' path."""
    if request.param in ("file", "server"):
        path = request.getfixturevalue("database_path")
        return f"{'server+' if request.param == 'server' else ''}sqlite:///{path}"
    server: SqlServer = request.getfixturevalue(request.param)
    return server.url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    if database_url.startswith("sqlite"):
        database = open_database(database_url)
    elif database_url.startswith("server+"):
        database = server_like(Path(database_url.partition("///")[2]))
    else:
        database = await emptied(connected(database_url))
    yield database
    await database.close()


@pytest.fixture
async def server_database(sql_server: SqlServer) -> AsyncIterator[Database]:
    """For what concerns database servers alone."""
    database = await emptied(connected(sql_server.url))
    yield database
    await database.close()


@pytest.fixture
def shop(database: Database) -> Shop:
    return Shop(database)


@pytest.fixture
async def file_shop(database_path: Path) -> AsyncIterator[Shop]:
    """For what concerns SQLite alone, or takes long."""
    database = open_database(f"sqlite:///{database_path}")
    yield Shop(database)
    await database.close()
