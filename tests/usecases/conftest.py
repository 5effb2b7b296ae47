"""One pair of Valkeys for the folder, emptied before each use, and a new database for each."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import uuid_utils

from miaosha.adapters.keyring import Keyring, generate
from miaosha.adapters.payments.sandbox import SandboxPayments
from miaosha.adapters.redis.broker import RedisBroker
from miaosha.adapters.redis.connect import connect
from miaosha.adapters.redis.heartbeats import RedisHeartbeats
from miaosha.adapters.redis.store import RedisStore
from miaosha.adapters.sql.accounts import SqlAccounts
from miaosha.adapters.sql.catalogue import SqlCatalogue
from miaosha.adapters.sql.database import Database
from miaosha.adapters.sql.engine import open_database
from miaosha.adapters.sql.ledger import SqlLedger
from miaosha.adapters.sql.migrate import upgrade
from miaosha.adapters.sql.trail import SqlTrail
from miaosha.adapters.tokens import JwtTokens
from miaosha.bootstrap.auditing import open_auditor
from miaosha.supervisor.servers.valkey import start_valkey
from tests.kit.clocks import HandClock
from tests.usecases.world import MemoryBus, Servers, World


class Urls(NamedTuple):
    directory: Path
    store: str
    broker: str


@pytest.fixture(scope="session")
def urls() -> Iterator[Urls]:
    with tempfile.TemporaryDirectory(prefix="ms-", dir="/tmp") as name, asyncio.Runner() as runner:
        directory = Path(name)
        template = directory / "template.sqlite"
        upgrade(f"sqlite:///{template}")
        store = runner.run(start_valkey(directory, "store"))
        broker = runner.run(start_valkey(directory, "broker"))
        yield Urls(directory, store.url, broker.url)
        runner.run(store.stop())
        runner.run(broker.stop())


@asynccontextmanager
async def fresh_servers(urls: Urls) -> AsyncIterator[Servers]:
    """Empty stores and an empty, migrated SQLite."""
    path = urls.directory / f"{uuid_utils.uuid7()}.sqlite"
    shutil.copy(urls.directory / "template.sqlite", path)
    url = f"sqlite:///{path}"
    async with fresh_servers_on(urls, open_database(url), url) as servers:
        yield servers


@asynccontextmanager
async def fresh_servers_on(
    urls: Urls, database: Database, database_url: str
) -> AsyncIterator[Servers]:
    """Empty stores beside this database, which is closed in the end."""
    client = connect(urls.store)
    queue = connect(urls.broker)
    await client.flushall()
    await queue.flushall()
    store = RedisStore(client)
    clock = HandClock(await store.now_ms())
    broker = RedisBroker(
        urls.broker,
        backlog_max=1_000,
        log_max_bytes=10_000_000,
        prefetch=16,
        reclaim_after_ms=5_000,
        confirm_timeout_ms=5_000,
    )
    async with open_auditor(urls.store, urls.broker, database_url) as auditor:
        yield Servers(
            ledger=SqlLedger(database),
            store=store,
            broker=broker,
            bus=MemoryBus(),
            payments=SandboxPayments(database, clock, b"w" * 32, "http://localhost/sandbox"),
            catalogue=SqlCatalogue(database),
            trail=SqlTrail(database),
            accounts=SqlAccounts(database),
            heartbeats=RedisHeartbeats(client),
            tokens=JwtTokens(Keyring.parse(generate())),
            clock=clock,
            auditor=auditor,
        )
    await broker.close()
    await database.close()
    await queue.aclose()
    await client.aclose()


@pytest.fixture
async def servers(urls: Urls) -> AsyncIterator[Servers]:
    async with fresh_servers(urls) as fresh:
        yield fresh


@pytest.fixture
def world(servers: Servers) -> World:
    return World(servers)
