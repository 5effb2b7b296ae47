"""A migrated SQLite file per test, reached by each implementation of `Database`.

`server` is the path the database servers take (async driver, pool, one transaction per unit), on
SQLite's async driver, so that its logic is tested where no server is installed.
"""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from miaosha.adapters.sql.database import Database
from miaosha.adapters.sql.engine import open_database
from miaosha.adapters.sql.filedb import PRAGMAS, attach_rules
from miaosha.adapters.sql.migrate import upgrade
from miaosha.adapters.sql.serverdb import ServerDatabase
from tests.contract.sql.shop import Shop


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
    return ServerDatabase(engine)


@pytest.fixture(params=["file", "server"])
async def database(request: pytest.FixtureRequest, database_path: Path) -> AsyncIterator[Database]:
    if request.param == "file":
        database = open_database(f"sqlite:///{database_path}")
    else:
        database = server_like(database_path)
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
