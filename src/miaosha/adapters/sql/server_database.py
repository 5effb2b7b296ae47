"""Server database: MariaDB/MySQL and PostgreSQL with async drivers, units run by `run_sync`.

A unit that lost a deadlock, or met a connection that had died, runs again: nothing of it was
committed. What happens after COMMIT was sent is never guessed. Items of a `Bulk` that wait at the
same time share a transaction (`group_commit`).
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine

from miaosha.adapters.sql.borrowing import borrowed
from miaosha.adapters.sql.database import (
    READ_TIMEOUT_S,
    WRITE_TIMEOUT_S,
    Bulk,
    Item,
    Rollback,
    Unit,
    at_commit,
    before_commit,
)
from miaosha.adapters.sql.group_commit import GroupCommit
from miaosha.adapters.sql.replica import ANSWER_S, Replica
from miaosha.domain.errors import DependencyDown, Fault, Overloaded

T = TypeVar("T")

TRIES = 3  # of a unit that lost a deadlock or its connection
WRITES_WAITING_MAX = 2_000  # writes of one process under way or waiting for a connection
READS_WAITING_MAX = 2_000
# What a server says of a transaction that it has undone, or that waited too long for a lock:
# MySQL and MariaDB (deadlock, lock wait, changed since read) · PostgreSQL (deadlock, serialization,
# lock not available).
UNDONE = frozenset({"1213", "1205", "1020", "40P01", "40001", "55P03"})


class ServerDatabase:
    """A database server (`Database`) with an optional replica for reads that tolerate lag.

    Args:
        writing, reading: pools to the primary; apart, so that neither waits for the other.
        replica: a pool to a copy, used while it is at most `lag_max_ms` behind.
        write_timeout_s: seconds a caller waits for a write, retries included.
    """

    def __init__(
        self,
        writing: AsyncEngine,
        reading: AsyncEngine,
        replica: AsyncEngine | None = None,
        *,
        lag_max_ms: int = 0,
        write_timeout_s: float = WRITE_TIMEOUT_S,
    ) -> None:
        self._writing = writing
        self._reading = reading
        self._replica = Replica(replica, self, lag_max_ms) if replica else None
        self._write_timeout_s = write_timeout_s
        self._writes = _Waiting("sql_writes_waiting_max", WRITES_WAITING_MAX)
        self._reads = _Waiting("sql_reads_waiting_max", READS_WAITING_MAX)
        self._groups: dict[Bulk[Any, Any], GroupCommit[Any, Any]] = {}

    async def write(self, unit: Unit[T]) -> T:
        with self._writes.one():
            return await self._committed(unit)

    async def write_one(self, bulk: Bulk[Item, T], item: Item) -> T:
        if (group := self._groups.get(bulk)) is None:
            group = self._groups[bulk] = GroupCommit(
                bulk,
                lambda items: self._committed(bulk.all(items), tries=1),
                lambda item: self._committed(bulk.one(item)),
                self._write_timeout_s,
            )
        with self._writes.one():
            value: T = await group.submit(item)
            return value

    async def _committed(self, unit: Unit[T], tries: int = TRIES) -> T:
        """As `write`, which counts the callers."""
        committing = asyncio.Event()
        try:
            async with asyncio.timeout(self._write_timeout_s):
                return await self._tried(unit, committing, tries)
        except PoolTimeout as error:
            raise Overloaded("sql_connections") from error
        except TimeoutError as error:
            if committing.is_set():
                raise at_commit(error) from error
            raise DependencyDown("database: no answer to a write") from error
        except (SQLAlchemyError, OSError) as error:
            failure = at_commit if committing.is_set() else before_commit
            raise failure(error) from error

    async def _tried(self, unit: Unit[T], committing: asyncio.Event, tries: int) -> T:
        for tries_left in reversed(range(tries)):
            try:
                value: T = await self._transaction(unit, committing)
                return value
            except DBAPIError as error:
                undone = _is_undone(error)
                if undone:
                    committing.clear()  # the server's own word, even in answer to a commit
                lost = error.connection_invalidated and not committing.is_set()
                if not tries_left or not (undone or lost):
                    raise
        raise AssertionError("unreachable")

    async def _transaction(self, unit: Unit[T], committing: asyncio.Event) -> Any:
        async with borrowed(self._writing) as connection:
            try:
                value = await connection.run_sync(unit)
            except Rollback as refusal:
                await connection.rollback()
                return refusal.value
            committing.set()
            try:
                await connection.commit()
            except (SQLAlchemyError, OSError):
                await connection.invalidate()  # it may still be inside the transaction
                raise
            committing.clear()  # what fails from here on does not concern the data
            return value

    async def read(self, unit: Unit[T], *, lagging: bool = False) -> T:
        with self._reads.one():
            replica = self._replica
            if lagging and replica and replica.fresh():
                try:
                    return await _read(replica.engine, unit, ANSWER_S)
                except Fault:
                    replica.failed()
            return await _read(self._reading, unit, READ_TIMEOUT_S)

    async def read_one(self, bulk: Bulk[Item, T], item: Item) -> T:
        if (group := self._groups.get(bulk)) is None:
            group = self._groups[bulk] = GroupCommit(
                bulk,
                lambda items: _read(self._reading, bulk.all(items), READ_TIMEOUT_S),
                lambda item: _read(self._reading, bulk.one(item), READ_TIMEOUT_S),
                READ_TIMEOUT_S,
            )
        with self._reads.one():
            value: T = await group.submit(item)
            return value

    async def reach_replica(self) -> None:
        if self._replica is not None:
            await _read(
                self._replica.engine, lambda connection: connection.scalar(select(1)), ANSWER_S
            )

    async def close(self) -> None:
        for group in self._groups.values():
            await group.flush()
        if self._replica:
            await self._replica.close()
        await self._reading.dispose()
        await self._writing.dispose()


async def _read(engine: AsyncEngine, unit: Unit[T], timeout_s: float) -> T:
    try:
        async with asyncio.timeout(timeout_s):
            for tries_left in reversed(range(TRIES)):
                try:
                    async with borrowed(engine) as connection:
                        return await connection.run_sync(unit)
                except DBAPIError as error:
                    if not tries_left or not error.connection_invalidated:
                        raise
        raise AssertionError("unreachable")
    except PoolTimeout as error:
        raise Overloaded("sql_connections") from error
    except TimeoutError as error:
        raise DependencyDown("database: no answer to a read") from error
    except (SQLAlchemyError, OSError) as error:
        raise before_commit(error) from error


class _Waiting:
    """How many calls are under way, and the limit of it."""

    def __init__(self, limit: str, most: int) -> None:
        self._limit = limit
        self._most = most
        self._count = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Raises Overloaded."""
        if self._count >= self._most:
            raise Overloaded(self._limit)
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1


def _is_undone(error: DBAPIError) -> bool:
    inner: Any = error.orig
    code = getattr(inner, "sqlstate", None) or (inner.args[0] if inner and inner.args else "")
    return str(code) in UNDONE
