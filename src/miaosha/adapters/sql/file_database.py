"""SQLite: one writer thread per process that commits in groups, a few reader threads.

SQLite has one writer at a time, so a process queues its writes to one thread. The thread takes a
lock file that all processes share. It runs what has queued up, each unit under its own savepoint,
and commits once for all (one fsync). Then it leaves the lock alone for 2 ms so that others get it.
SQLite's own lock is not fair: with it alone one busy process starved three others for seconds.
Groups made 3 to 6 times as many checkouts a second as one commit each. Calls into SQLite block,
hence threads. A unit is one hop, where an async driver takes several per statement (a transaction
of six: 0.9 ms of CPU against 2.8 ms).
"""

import asyncio
import fcntl
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

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
from miaosha.adapters.sql.searching import add_folding
from miaosha.domain.errors import DependencyDown, OutcomeUnknown, Overloaded

T = TypeVar("T")

BUSY_TIMEOUT_MS = 5_000  # for a writer that does not know the lock file, such as a sqlite3 shell
PAUSE_S = 0.002  # the lock is left alone this long after a commit
GROUP_MAX = 64  # units in one transaction
GROUP_BUDGET_S = 0.05  # no further unit joins a transaction that is older
WRITES_WAITING_MAX = 2_000
READS_WAITING_MAX = 2_000
READERS = 4

PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    f"busy_timeout = {BUSY_TIMEOUT_MS}",
    "temp_store = MEMORY",
    "journal_size_limit = 67108864",
)


def lock_path(url: URL) -> Path:
    """The lock file of all writers, beside the database."""
    assert url.database
    return Path(url.database + ".lock")


@contextmanager
def write_lock(path: Path) -> Iterator[None]:
    """Hold the lock of all writers; blocks, hence only in a thread."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield  # closing the file gives the lock back


def sqlite_engine(url: URL, *, begin: str, pragmas: tuple[str, ...], pool_size: int) -> Engine:
    """An engine whose transactions start with the statement `begin`."""
    engine = create_engine(
        url, pool_size=pool_size, max_overflow=0, pool_timeout=5, hide_parameters=True
    )
    attach_rules(engine, begin, pragmas)
    return engine


def attach_rules(engine: Engine, begin: str, pragmas: tuple[str, ...]) -> None:
    """Let SQLAlchemy, not the driver, start transactions; set `pragmas` on each connection, and
    teach it what searches compare by."""

    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        add_folding(connection)
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))


class FileDatabase:
    """A SQLite file (`Database`). Threads start with the first call and end with `close`.

    Args:
        group_max: units in one transaction.
        pause_s: seconds between a commit and the next transaction of this process.
        write_timeout_s: seconds a caller waits; a write that has not begun by then never will.
    """

    def __init__(
        self,
        url: URL,
        *,
        group_max: int = GROUP_MAX,
        pause_s: float = PAUSE_S,
        write_timeout_s: float = WRITE_TIMEOUT_S,
    ) -> None:
        self._writer = _Writer(url, group_max, pause_s)
        self._write_timeout_s = write_timeout_s
        self._engine = sqlite_engine(
            url, begin="BEGIN", pragmas=(*PRAGMAS, "query_only = ON"), pool_size=READERS
        )
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="sql-read")
        self._reading = 0
        self._closed = False

    async def write(self, unit: Unit[T]) -> T:
        job = self._writer.submit(unit)
        try:
            # not wait_for: that of Python 3.11 may swallow a cancellation
            async with asyncio.timeout(self._write_timeout_s):
                return await asyncio.wrap_future(job)
        except TimeoutError:
            if job.cancelled():
                raise DependencyDown("database: busy, the write was withdrawn") from None
            raise OutcomeUnknown("database: no answer to a write") from None

    async def read(self, unit: Unit[T], *, lagging: bool = False) -> T:
        if self._reading >= READS_WAITING_MAX:
            raise Overloaded("sql_reads_waiting_max")
        if self._closed:
            raise DependencyDown("database: closed")
        self._reading += 1
        try:
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(READ_TIMEOUT_S):
                return await loop.run_in_executor(self._readers, self._read, unit)
        except TimeoutError:
            raise DependencyDown("database: no answer to a read") from None
        finally:
            self._reading -= 1

    async def write_one(self, bulk: Bulk[Item, T], item: Item) -> T:
        return await self.write(bulk.one(item))

    async def read_one(self, bulk: Bulk[Item, T], item: Item) -> T:
        return await self.read(bulk.one(item))

    def _read(self, unit: Unit[T]) -> T:
        try:
            with self._engine.begin() as connection:
                return unit(connection)
        except SQLAlchemyError as error:
            raise before_commit(error) from error

    async def reach_replica(self) -> None:
        """A file has none."""

    async def close(self) -> None:
        self._closed = True
        await asyncio.to_thread(self._writer.close)
        await asyncio.to_thread(self._readers.shutdown)
        self._engine.dispose()


class _Writer:
    """The writer thread and its queue."""

    def __init__(self, url: URL, group_max: int, pause_s: float) -> None:
        self._engine = sqlite_engine(url, begin="BEGIN IMMEDIATE", pragmas=PRAGMAS, pool_size=1)
        self._lock_path = lock_path(url)
        self._group_max = group_max
        self._pause_s = pause_s
        self._jobs: deque[tuple[Unit[Any], Future[Any]]] = deque()
        self._wake = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def submit(self, unit: Unit[T]) -> Future[T]:
        job: Future[T] = Future()
        with self._wake:
            if self._closed:
                raise DependencyDown("database: closed")
            if len(self._jobs) >= WRITES_WAITING_MAX:
                raise Overloaded("sql_writes_waiting_max")
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="sql-write", daemon=True)
                self._thread.start()
            self._jobs.append((unit, job))
            self._wake.notify()
        return job

    def close(self) -> None:
        """Finish what is queued, then end the thread. Blocks."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        if self._thread:
            self._thread.join()
        self._engine.dispose()

    def _run(self) -> None:
        while self._wait_for_work():
            group: list[_Ran] = []
            try:
                self._commit_group(group)
            except Exception as error:
                self._fail(group, before_commit(error))
                self._engine.dispose()  # a connection that failed is not used again
            for ran in group:
                ran.answer()
            time.sleep(self._pause_s)

    def _wait_for_work(self) -> bool:
        with self._wake:
            while not self._jobs and not self._closed:
                self._wake.wait()
            return bool(self._jobs)

    def _commit_group(self, group: "list[_Ran]") -> None:
        with write_lock(self._lock_path), self._engine.connect() as connection:
            connection.begin()
            deadline = time.monotonic() + GROUP_BUDGET_S
            while len(group) < self._group_max and time.monotonic() < deadline:
                if (taken := self._take()) is None:
                    break
                group.append(_Ran(taken[1]))
                group[-1].run(connection, taken[0])
            try:
                connection.commit()
            except SQLAlchemyError as error:
                connection.invalidate()  # it may still be inside the transaction
                self._fail(group, at_commit(error))

    def _take(self) -> tuple[Unit[Any], Future[Any]] | None:
        """The next unit whose caller still waits for it."""
        with self._wake:
            while self._jobs:
                taken = self._jobs.popleft()
                if taken[1].set_running_or_notify_cancel():
                    return taken
        return None

    def _fail(self, group: "list[_Ran]", error: Exception) -> None:
        """Nothing of this group is known to be committed: also a refusal may rest on a change
        that is gone. Without a group the database itself cannot be opened: fail all who wait."""
        if not group:
            while (taken := self._take()) is not None:
                group.append(_Ran(taken[1]))
        for ran in group:
            ran.error = error


class _Ran:
    """A unit that ran inside a group, and what its caller will be told after the commit."""

    def __init__(self, job: Future[Any]) -> None:
        self._job = job
        self._value: Any = None
        self.error: BaseException | None = None

    def run(self, connection: Connection, unit: Unit[Any]) -> None:
        """Run under a savepoint of its own. Raises only if the transaction itself is lost (SQLite
        ends it by itself on a full disk, say): then a savepoint statement fails."""
        connection.exec_driver_sql("SAVEPOINT unit")
        try:
            self._value = unit(connection)
        except Rollback as refusal:
            self._value = refusal.value
            connection.exec_driver_sql("ROLLBACK TO unit")
        except SQLAlchemyError as error:
            self.error = before_commit(error)
            connection.exec_driver_sql("ROLLBACK TO unit")
        except BaseException as error:
            self.error = error
            connection.exec_driver_sql("ROLLBACK TO unit")
        connection.exec_driver_sql("RELEASE unit")

    def answer(self) -> None:
        if self.error is not None:
            self._job.set_exception(self.error)
        else:
            self._job.set_result(self._value)
