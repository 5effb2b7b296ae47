"""One Valkey and one migrated SQLite file for all tests of the API; each test opens its own world
on them and keeps apart by its own people, products and sales."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from miaosha.adapters.sql.migrate import upgrade
from miaosha.supervisor.servers.valkey import start_valkey
from tests.api.world import Person, World, open_world


@asynccontextmanager
async def valkey() -> AsyncIterator[str]:
    with tempfile.TemporaryDirectory(prefix="ms-", dir="/tmp") as name:
        server = await start_valkey(Path(name), "store")
        yield server.url
        await server.stop()


@pytest.fixture(scope="session")
def api_store_url() -> Iterator[str]:
    with asyncio.Runner() as runner:
        opened = valkey()
        yield runner.run(opened.__aenter__())
        runner.run(opened.__aexit__(None, None, None))


@pytest.fixture(scope="session")
def api_database_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('api') / 'api.sqlite'}"
    upgrade(url)
    return url


@pytest.fixture
async def empty_world(tmp_path: Path) -> AsyncIterator[World]:
    """On servers of its own: a list shows only so many sales, of other tests otherwise."""
    url = f"sqlite:///{tmp_path / 'api.sqlite'}"
    upgrade(url)
    async with valkey() as store_url, open_world(store_url, url) as opened:
        yield opened


@pytest.fixture
async def world(api_store_url: str, api_database_url: str) -> AsyncIterator[World]:
    async with open_world(api_store_url, api_database_url) as opened:
        yield opened


@pytest.fixture
async def buyer(world: World) -> Person:
    return await world.person()


@pytest.fixture
async def admin(world: World) -> Person:
    return await world.person("admin")
