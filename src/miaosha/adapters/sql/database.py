"""Database: how everything here reaches SQL. A *unit* is a plain function of a Connection, run as
one transaction. `file_database` (SQLite, a writer thread) and `server_database` (async drivers)
implement it.

Driver errors become DependencyDown before the commit was sent and OutcomeUnknown after;
IntegrityError passes through, for it is an answer about the data.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Connection, Row, Select, Table
from sqlalchemy.exc import DBAPIError, IntegrityError

from miaosha.domain.errors import DependencyDown, OutcomeUnknown

T = TypeVar("T")
Item = TypeVar("Item")
Unit = Callable[[Connection], T]
AnyRow = Row[*tuple[Any, ...]]

WRITE_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 10.0


class Rollback(Exception):
    """Raised by a unit to undo what it did and still return something: `write` returns `value`."""

    def __init__(self, value: Any = None) -> None:
        super().__init__()
        self.value = value


@dataclass(frozen=True, eq=False)
class Bulk(Generic[Item, T]):
    """A unit that does the work of many callers at once, each with an item of their own.

    Args:
        run: returns one value per item, in their order, for one item or many. It does all of them
            or raises, and never a Rollback.
        key: items with the same key never share a run.
    """

    run: Callable[[Connection, Sequence[Item]], Sequence[T]]
    key: Callable[[Item], Hashable]

    def one(self, item: Item) -> Unit[T]:
        """The unit that does this item."""
        return lambda connection: self.run(connection, [item])[0]

    def all(self, items: Sequence[Item]) -> Unit[Sequence[T]]:
        """The unit that does all of these."""
        return lambda connection: self.run(connection, items)


class Database(Protocol):
    async def write(self, unit: Unit[T]) -> T:
        """Run `unit` as one transaction on the primary. Returns once it is committed.

        A unit may run again after a deadlock, so it has no effect outside its connection. It must
        not wait for anything but SQL: on SQLite others share its transaction.

        Raises:
            DependencyDown: nothing was written.
            OutcomeUnknown: the commit was sent and its answer lost.
            Overloaded: `sql_writes_waiting_max` or `sql_reads_waiting_max` was reached.
            IntegrityError: a constraint said no; nothing was written.
        """

    async def read(self, unit: Unit[T], *, lagging: bool = False) -> T:
        """Run a unit that only reads, on one snapshot where the database has them.

        `lagging`: an older state will do, so the replica may answer.
        """

    async def write_one(self, bulk: Bulk[Item, T], item: Item) -> T:
        """As `write`; callers who wait at the same time may share a transaction. What goes wrong
        with one item does not concern the others."""

    async def read_one(self, bulk: Bulk[Item, T], item: Item) -> T:
        """As `read`; callers at the same time may share a snapshot no older than the call."""

    async def reach_replica(self) -> None:
        """Returns when the replica answers, or there is none. Raises DependencyDown."""

    async def close(self) -> None:
        """Finish what was taken, then close every connection."""


def primary_key_only(query: Select[Any], table: Table) -> Select[Any]:
    """A locking select by primary key. MySQL and MariaDB lock all rows they pass, and would pass
    the whole table while it is small."""
    for dialect in ("mysql", "mariadb"):
        query = query.with_hint(table, "FORCE INDEX (PRIMARY)", dialect)
    return query


def before_commit(error: Exception) -> Exception:
    """What to raise for an error met before the commit was sent."""
    if isinstance(error, IntegrityError):
        return error
    return DependencyDown(f"database: {_what(error)}")


def at_commit(error: Exception) -> OutcomeUnknown:
    return OutcomeUnknown(f"database: no answer to a commit: {_what(error)}")


def _what(error: Exception) -> str:
    """The driver's words, without the statement and its parameters: they may be personal."""
    inner = error.orig if isinstance(error, DBAPIError) and error.orig else error
    return f"{type(inner).__name__}: {str(inner)[:200]}"
