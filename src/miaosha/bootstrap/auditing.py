"""Wires the audit, on connections of its own: it shares neither code nor pools with the roles."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from miaosha.usecases.audit import Auditor

CONNECTIONS_MAX = 4  # to each server: an audit reads one thing after another


@asynccontextmanager
async def open_auditor(
    store_url: str,
    broker_url: str,
    database_url: str,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator["Auditor"]:
    """An auditor on the stores of these URLs (settings redis_url, broker_url, database_url).

    Raises:
        SettingsError: a URL that cannot be used, or a broker the audit cannot read.
    """
    from miaosha.adapters.redis.auditing import RedisQueueReader, RedisStoreReader
    from miaosha.adapters.redis.connect import connect
    from miaosha.adapters.sql.auditing import SqlLedgerReader
    from miaosha.adapters.sql.engine import open_database
    from miaosha.usecases.audit import Auditor

    store = connect(store_url, connections_max=CONNECTIONS_MAX)
    broker = connect(broker_url, connections_max=CONNECTIONS_MAX)
    database = open_database(database_url)
    try:
        yield Auditor(
            SqlLedgerReader(database), RedisStoreReader(store), RedisQueueReader(broker), sleep
        )
    finally:
        await store.aclose()
        await broker.aclose()
        await database.close()
