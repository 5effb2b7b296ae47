"""Borrowing: connections of a pool, lent and taken back within a bound.

SQLAlchemy ends a connection's transaction when it is given back. It waits for that however long it
takes, whatever the caller's deadline says. A server that hangs would hold the caller for ever, and
the connection with it. So one that does not come back in time is cut, which ends the wait.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from miaosha.serving.ending import end

GIVE_BACK_S: Final = 1.0  # for the end of a transaction, and again for the end of a cut connection

log = structlog.get_logger()
_GIVING: set["asyncio.Task[BaseException | None]"] = set()  # the loop itself forgets tasks


@asynccontextmanager
async def borrowed(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection of the pool. Cancelled, the caller gives it up: its server is asked for nothing
    more, and the cancellation arrives at most twice GIVE_BACK_S later.

    What ends the body reaches the caller, whatever becomes of the connection. A cut one cannot end
    its transaction. That error in place of the cancellation would have the caller try again,
    without its deadline.
    """
    connection = await _opened(engine)
    driver = _driver_of(connection)
    try:
        yield connection
    except BaseException as error:
        if isinstance(error, asyncio.CancelledError):
            _cut(driver)
        await _give_back(connection, driver)
        raise
    if failure := await _give_back(connection, driver):
        raise failure


async def _opened(engine: AsyncEngine) -> AsyncConnection:
    """A connection of the pool. The pool and a driver wait by `asyncio.wait_for`, which may lose a
    cancellation and then wait for a hanging server without a deadline: so it is told again."""
    opening = asyncio.create_task(_connected(engine))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_unwanted)  # however often the caller is cancelled from here on
        await end([opening], GIVE_BACK_S)
        raise


def _unwanted(opening: "asyncio.Task[AsyncConnection]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        connection = opening.result()
        giving = asyncio.create_task(_give_back(connection, _driver_of(connection)))
        _GIVING.add(giving)
        giving.add_done_callback(_GIVING.discard)


async def _connected(engine: AsyncEngine) -> AsyncConnection:
    return await engine.connect()


async def _give_back(connection: AsyncConnection, driver: Any) -> BaseException | None:
    """Returns the error of closing it. Raises CancelledError alone."""
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
    failure = None
    if not closing.done():
        log.error("sql_connection_stuck")
    elif not closing.cancelled():
        failure = closing.exception()
    if cancelled is not None:
        raise cancelled
    return failure


def _driver_of(connection: AsyncConnection) -> Any:
    """The driver's own connection."""
    pooled: Any = connection.sync_connection
    return pooled.connection.driver_connection


def _cut(driver: Any) -> None:
    """Close the socket at once and silently: asyncpg's `terminate`, asyncmy's `close`."""
    end = getattr(driver, "terminate", None) or driver.close
    with contextlib.suppress(OSError, RuntimeError):
        end()
