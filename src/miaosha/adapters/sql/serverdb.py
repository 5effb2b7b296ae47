"""MariaDB/MySQL and PostgreSQL: async drivers, a bounded pool, units run by `run_sync`.

READ COMMITTED everywhere: every change is a single-statement compare-and-set, so nothing needs
more, and REPEATABLE READ of MySQL would allow lost updates. A unit that lost a deadlock runs again.
"""

import asyncio
from typing import Any, TypeVar

from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from miaosha.adapters.sql.database import (
    READ_TIMEOUT_S,
    WRITE_TIMEOUT_S,
    Rollback,
    Unit,
    at_commit,
    before_commit,
)
from miaosha.domain.errors import DependencyDown

T = TypeVar("T")

POOL_MAX = 10  # connections of one process to the primary, and as many to the replica
TRIES = 3  # of a unit that lost a deadlock
DEADLOCKS = frozenset({"1213", "1205", "40P01", "40001"})  # MySQL, MariaDB · PostgreSQL


def server_engine(url: URL) -> AsyncEngine:
    """Imports the driver, so it must be installed; opens nothing yet."""
    return create_async_engine(
        url,
        pool_size=POOL_MAX,
        max_overflow=0,
        pool_timeout=5,
        pool_pre_ping=True,
        pool_recycle=1_800,
        isolation_level="READ COMMITTED",
        hide_parameters=True,
    )


class ServerDatabase:
    """A database server (`Database`) with an optional replica for reads that tolerate lag."""

    def __init__(self, primary: AsyncEngine, replica: AsyncEngine | None = None) -> None:
        self._primary = primary
        self._replica = replica

    async def write(self, unit: Unit[T]) -> T:
        committing = asyncio.Event()
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                for tries_left in reversed(range(TRIES)):
                    try:
                        value: T = await self._transaction(unit, committing)
                        return value
                    except DBAPIError as error:
                        if committing.is_set() or not tries_left or not _is_deadlock(error):
                            raise
                raise AssertionError("unreachable")
        except TimeoutError as error:
            if committing.is_set():
                raise at_commit(error) from error
            raise DependencyDown("database: no answer to a write") from error
        except (SQLAlchemyError, OSError) as error:
            failure = at_commit if committing.is_set() else before_commit
            raise failure(error) from error

    async def _transaction(self, unit: Unit[T], committing: asyncio.Event) -> Any:
        async with self._primary.connect() as connection:
            try:
                value = await connection.run_sync(unit)
            except Rollback as refusal:
                await connection.rollback()
                return refusal.value
            committing.set()
            try:
                await connection.commit()
            except SQLAlchemyError:
                await connection.invalidate()  # it may still be inside the transaction
                raise
            committing.clear()  # what fails from here on does not concern the data
            return value

    async def read(self, unit: Unit[T], *, lagging: bool = False) -> T:
        engine = self._replica if lagging and self._replica else self._primary
        try:
            async with asyncio.timeout(READ_TIMEOUT_S), engine.connect() as connection:
                return await connection.run_sync(unit)
        except TimeoutError as error:
            raise DependencyDown("database: no answer to a read") from error
        except (SQLAlchemyError, OSError) as error:
            raise before_commit(error) from error

    async def close(self) -> None:
        await self._primary.dispose()
        if self._replica:
            await self._replica.dispose()


def _is_deadlock(error: DBAPIError) -> bool:
    inner: Any = error.orig
    code = getattr(inner, "sqlstate", None) or (inner.args[0] if inner and inner.args else "")
    return str(code) in DEADLOCKS
