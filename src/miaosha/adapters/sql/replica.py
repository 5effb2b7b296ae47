"""A copy of the database for reads that tolerate lag: used only while it is known to be recent.

How far behind it is cannot be asked of a replica (a stopped one says 0, or nothing), so a row
tells: the primary writes its time into it, the replica shows which time has reached it. Works on
every kind of replication and needs no privilege. Never asked in a caller's time: a caller meets
the last verdict, and the primary when there is none.
"""

import asyncio
import contextlib
import time
from typing import Any

from sqlalchemy import Connection, literal_column, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from miaosha.adapters.sql.borrowing import borrowed
from miaosha.adapters.sql.database import Database
from miaosha.adapters.sql.inserts import insert_ignoring
from miaosha.adapters.sql.tables import leases
from miaosha.domain.errors import MiaoshaError

BEAT = "replica beat"  # the row of `leases`; nobody takes it as a lease
CHECK_S = 1.0  # a verdict older than this is renewed
VERDICT_S = 3.0  # and older than this not used
ANSWER_S = 2.0  # a replica that takes longer is left alone
LOOKS = 3  # at the replica in one check, for a beat to arrive
BETWEEN_LOOKS_S = 0.2

_NOW_MS = {
    "mysql": "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)",
    "postgresql": "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
}


def server_now_ms(dialect: str) -> Any:
    """The database server's own clock in Unix milliseconds, as an expression."""
    return literal_column(_NOW_MS["mysql" if dialect == "mariadb" else dialect])


def write_beat(connection: Connection) -> int:
    """Put the primary's time into the row; answers it."""
    now = server_now_ms(connection.dialect.name)
    beat = update(leases).where(leases.c.name == BEAT).values(until_ms=now)
    if connection.execute(beat).rowcount == 0:
        insert_ignoring(connection, leases, [{"name": BEAT, "owner": "primary", "until_ms": 0}])
        connection.execute(beat)
    return read_beat(connection)


def read_beat(connection: Connection) -> int:
    """The newest beat that is here; 0: none."""
    found = connection.execute(select(leases.c.until_ms).where(leases.c.name == BEAT)).scalar()
    return int(found or 0)


async def lag_of(replica: AsyncEngine, primary: Database, lag_max_ms: int) -> int:
    """Milliseconds the replica is behind, at most; above `lag_max_ms` perhaps not exactly. After a
    silence the newest beat is old, so it is given a moment to arrive.

    Raises:
        MiaoshaError, SQLAlchemyError, OSError, TimeoutError: one of the two does not answer.
    """
    beat = await primary.write(write_beat)
    for looks_left in reversed(range(LOOKS)):
        async with asyncio.timeout(ANSWER_S), borrowed(replica) as connection:
            lag_ms = beat - await connection.run_sync(read_beat)
        if lag_ms <= lag_max_ms or not looks_left:
            return lag_ms
        await asyncio.sleep(BETWEEN_LOOKS_S)
    raise AssertionError("unreachable")


class Replica:
    """The engine of a replica and whether it may be used now."""

    def __init__(self, engine: AsyncEngine, primary: Database, lag_max_ms: int) -> None:
        self.engine = engine
        self._primary = primary
        self._lag_max_ms = lag_max_ms
        self._fresh = False
        self._checked_at = float("-inf")
        self._checking: asyncio.Task[None] | None = None

    def fresh(self) -> bool:
        """Was it at most `lag_max_ms` behind a moment ago? Starts the next check if one is due."""
        age_s = time.monotonic() - self._checked_at
        if age_s > CHECK_S and self._checking is None:
            self._checking = asyncio.create_task(self._check())
        return self._fresh and age_s <= VERDICT_S

    def failed(self) -> None:
        """It did not answer a read: not before the next check says so is it used again."""
        self._fresh = False

    async def _check(self) -> None:
        try:
            lag_ms = await lag_of(self.engine, self._primary, self._lag_max_ms)
            self._fresh = lag_ms <= self._lag_max_ms
        except Exception:  # whatever is wrong with it, the primary answers
            self._fresh = False
        finally:
            self._checked_at = time.monotonic()
            self._checking = None

    async def close(self) -> None:
        if self._checking:
            self._checking.cancel()
            with contextlib.suppress(asyncio.CancelledError, MiaoshaError):
                await self._checking
        await self.engine.dispose()
