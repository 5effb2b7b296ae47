"""Connections of a pool, lent and taken back within a bound.

SQLAlchemy ends a connection's transaction when it is given back, and waits for that however long it
takes, whatever the caller's deadline says. A server that hangs would hold the caller for ever, and
the connection with it. So one that does not come back in time is cut: what waits on it ends.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

GIVE_BACK_S: Final = 1.0  # for the end of a transaction, and again for the end of a cut connection

log = structlog.get_logger()


@asynccontextmanager
async def borrowed(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection of the pool. Cancelled, the caller gives it up: its server is asked for nothing
    more, and the cancellation arrives at most twice GIVE_BACK_S later."""
    connection = await engine.connect()
    driver = _driver_of(connection)
    try:
        yield connection
    except asyncio.CancelledError:
        _cut(driver)
        raise
    finally:
        await _give_back(connection, driver)


async def _give_back(connection: AsyncConnection, driver: Any) -> None:
    closing = asyncio.create_task(connection.close())
    cancelled: asyncio.CancelledError | None = None
    for _ in range(2):
        try:
            await asyncio.wait({closing}, timeout=GIVE_BACK_S)
        except asyncio.CancelledError as error:
            cancelled = error
        if closing.done():
            break
        _cut(driver)
    if not closing.done():
        log.error("sql_connection_stuck")
    if cancelled is not None:
        raise cancelled
    if closing.done() and not closing.cancelled() and (failure := closing.exception()):
        raise failure


def _driver_of(connection: AsyncConnection) -> Any:
    """The driver's own connection."""
    pooled: Any = connection.sync_connection
    return pooled.connection.driver_connection


def _cut(driver: Any) -> None:
    """Close the socket at once, without a word to the server. asyncpg calls it `terminate`,
    asyncmy `close`."""
    end = getattr(driver, "terminate", None) or driver.close
    with contextlib.suppress(OSError, RuntimeError):
        end()
