"""Audit wiring: connections of its own; it shares neither code nor pools with the roles."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from miaosha.ports.auditing import QueueReader

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
    from miaosha.adapters.redis.auditing import RedisStoreReader
    from miaosha.adapters.redis.connect import connect
    from miaosha.adapters.sql.auditing import SqlLedgerReader
    from miaosha.adapters.sql.engine import open_database
    from miaosha.usecases.audit import Auditor

    store = connect(store_url, connections_max=CONNECTIONS_MAX)
    queue, close_broker = _queue_reader(broker_url)
    database = open_database(database_url)
    try:
        yield Auditor(SqlLedgerReader(database), RedisStoreReader(store), queue, sleep)
    finally:
        await store.aclose()
        await close_broker()
        await database.close()


def _queue_reader(url: str) -> tuple[QueueReader, Callable[[], Awaitable[None]]]:
    """The reader for a broker by the scheme of its URL, and what closes it."""
    if url.startswith(("amqp://", "amqps://")):
        from miaosha.adapters.rabbitmq.auditing import RabbitQueueReader

        reader = RabbitQueueReader(url)
        return reader, reader.close
    from miaosha.adapters.redis.audited_log import RedisQueueReader
    from miaosha.adapters.redis.connect import connect

    client = connect(url, connections_max=CONNECTIONS_MAX)
    return RedisQueueReader(client), client.aclose
