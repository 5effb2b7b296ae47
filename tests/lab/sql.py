"""SQL: the real statements on SQLite in memory, each unit at one instant of the laboratory.

The schema with its constraints is the product's. What `file_database` does with threads and files
is below this; it has tests of its own.
"""

import sqlite3
from collections.abc import Callable
from functools import cache
from typing import Any, Final, TypeVar

from sqlalchemy import Engine, create_engine, insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool

from miaosha.adapters.sql.columns import metadata
from miaosha.adapters.sql.database import Bulk, Rollback, Unit, before_commit
from miaosha.adapters.sql.file_database import attach_rules
from miaosha.adapters.sql.tables import users
from miaosha.domain.errors import DependencyDown, OutcomeUnknown
from tests.lab.link import Link

T = TypeVar("T")
Item = TypeVar("Item")

BUYERS: Final = 40  # accounts there are from the start, with ids from 1
PRAGMAS: Final = ("foreign_keys = ON",)


@cache
def _template() -> bytes:
    """The database of an empty shop with its accounts."""
    raw = sqlite3.connect(":memory:")
    engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)
    metadata.create_all(engine)
    with engine.begin() as connection:
        people = [
            {
                "id": id_,
                "email": f"buyer{id_}@example.org",
                "name": f"Buyer {id_}",
                "role": "buyer",
                "password_hash": "",
                "created_at_ms": 0,
            }
            for id_ in range(1, BUYERS + 1)
        ]
        connection.execute(insert(users), people)
    return raw.serialize()


class SqlServer:
    """One database.

    Attributes:
        full: its disk takes no more: writing fails, reading does not.
        busy: somebody else writes for long: writing fails.
    """

    def __init__(self) -> None:
        self._raw = sqlite3.connect(":memory:", check_same_thread=False)
        self._raw.deserialize(_template())
        self._raw.isolation_level = None  # transactions begin and end below
        self._engine: Engine = create_engine(
            "sqlite://", creator=lambda: self._raw, poolclass=StaticPool
        )
        attach_rules(self._engine, "SELECT 1", PRAGMAS)
        self._connection = self._engine.connect()  # one for all: nobody waits inside of a unit
        self.full = False
        self.busy = False
        self.units = 0
        self.writes = 0

    def write(self, unit: Unit[T]) -> T:
        """Raises as `Database.write` before a commit."""
        if self.full or self.busy:
            raise DependencyDown("database: " + ("disk is full" if self.full else "is locked"))
        self.writes += 1
        return self._run(unit)

    def read(self, unit: Unit[T]) -> T:
        return self._run(unit)

    def _run(self, unit: Unit[T]) -> T:
        self.units += 1
        self._raw.execute("BEGIN")
        try:
            answer = unit(self._connection)
        except Rollback as refusal:
            self._raw.execute("ROLLBACK")
            return refusal.value  # type: ignore[no-any-return]
        except SQLAlchemyError as error:
            self._raw.execute("ROLLBACK")
            raise before_commit(error) from error
        except BaseException:
            self._raw.execute("ROLLBACK")
            raise
        self._raw.execute("COMMIT")
        return answer

    def ask(self, query: str, *values: Any) -> list[Any]:
        """What an oracle asks, past everything."""
        return self._raw.execute(query, values).fetchall()

    def close(self) -> None:
        self._connection.close()
        self._engine.dispose()
        self._raw.close()


class LabDatabase:
    """Implements adapters/sql/database.Database for one process."""

    def __init__(self, server: SqlServer, link: Link) -> None:
        self._server = server
        self._link = link

    async def write(self, unit: Unit[T]) -> T:
        return await self._link(
            f"sql.{_name(unit)}", lambda: self._server.write(unit), lost=OutcomeUnknown
        )

    async def read(self, unit: Unit[T], *, lagging: bool = False) -> T:
        return await self._link(f"sql.{_name(unit)}", lambda: self._server.read(unit))

    async def write_one(self, bulk: Bulk[Item, T], item: Item) -> T:
        unit = bulk.one(item)
        return await self._link(
            f"sql.{_name(bulk.run)}", lambda: self._server.write(unit), lost=OutcomeUnknown
        )

    async def read_one(self, bulk: Bulk[Item, T], item: Item) -> T:
        unit = bulk.one(item)
        return await self._link(f"sql.{_name(bulk.run)}", lambda: self._server.read(unit))

    async def reach_replica(self) -> None: ...

    async def close(self) -> None: ...


def _name(work: Callable[..., Any]) -> str:
    """Whose unit it is: `SqlHolds.grant`, or `captures._capture` for a function of a module."""
    name = work.__qualname__.partition(".<locals>")[0]
    return name if "." in name else f"{work.__module__.rpartition('.')[2]}.{name}"
