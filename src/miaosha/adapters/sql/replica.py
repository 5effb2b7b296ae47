"""Replica: a copy of the database for reads that tolerate lag, used only while known to be recent.

A replica cannot say how far behind it is: a stopped one says 0, or nothing. So a row tells. The
primary counts it up, and the replica shows which number has reached it. This process remembers by
its steady clock when it wrote each number, so that no server's clock matters. It works on every
kind of replication and needs no privilege. No caller waits for the check: a caller meets the last
verdict, and the primary when there is none.
"""

import asyncio
import time
from collections import deque
from typing import Any

from sqlalchemy import Connection, case, literal_column, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from miaosha.adapters.sql.borrowing import borrowed
from miaosha.adapters.sql.database import Database
from miaosha.adapters.sql.inserts import insert_ignoring
from miaosha.adapters.sql.tables import leases
from miaosha.serving.ending import end

BEAT = "replica beat"  # the row of `leases`; nobody takes it as a lease
CHECK_S = 1.0  # a verdict older than this is renewed
VERDICT_S = 3.0  # and older than this not used
ANSWER_S = 2.0  # a replica that takes longer is left alone
BETWEEN_LOOKS_S = 0.2  # at the replica in one check, for a beat to arrive
BEATS_MAX = 64  # of which the times are remembered

_NOW_MS = {
    "mysql": "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)",
    "postgresql": "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
}


def server_now_ms(dialect: str) -> Any:
    """The database server's own clock in Unix milliseconds, as an expression."""
    return literal_column(_NOW_MS["mysql" if dialect == "mariadb" else dialect])


def write_beat(connection: Connection) -> int:
    """Raise the row's number; returns it. It is the primary's time, so that a primary restored from
    a backup counts above its old replica; and more than it was, whatever that clock says."""
    now, more = server_now_ms(connection.dialect.name), leases.c.beat + 1
    raised = case((more > now, more), else_=now)
    beat = update(leases).where(leases.c.name == BEAT).values(beat=raised)
    if connection.execute(beat).rowcount == 0:
        row = {"name": BEAT, "owner": "primary", "until_ms": 0, "beat": 0}
        insert_ignoring(connection, leases, [row])
        connection.execute(beat)
    return read_beat(connection)


def read_beat(connection: Connection) -> int:
    """The newest beat that is here; 0: none."""
    found = connection.execute(select(leases.c.beat).where(leases.c.name == BEAT)).scalar()
    return int(found or 0)


Beats = deque[tuple[int, float]]  # numbers this process has written, and when (monotonic s)


async def lag_of(
    replica: AsyncEngine, primary: Database, lag_max_ms: int, beats: Beats | None = None
) -> int:
    """Milliseconds the replica is behind, at most; above `lag_max_ms` not exactly.

    Args:
        beats: of earlier calls for the same replica; one that has none waits until its own arrives,
            `lag_max_ms` at most.

    Raises:
        MiaoshaError, SQLAlchemyError, OSError, TimeoutError: one of the two does not answer.
    """
    beats = deque() if beats is None else beats
    wrote_s = time.monotonic()
    beats.append((await primary.write(write_beat), wrote_s))
    while True:
        async with asyncio.timeout(ANSWER_S), borrowed(replica) as connection:
            seen = await connection.run_sync(read_beat)
        now_s = time.monotonic()
        arrived = [since_s for number, since_s in beats if number <= seen]
        lag_ms = round((now_s - max(arrived)) * 1000) if arrived else lag_max_ms + 1
        if lag_ms <= lag_max_ms or (now_s - wrote_s) * 1000 > lag_max_ms:
            return lag_ms
        await asyncio.sleep(BETWEEN_LOOKS_S)


class Replica:
    """The engine of a replica and whether it may be used now."""

    def __init__(self, engine: AsyncEngine, primary: Database, lag_max_ms: int) -> None:
        self.engine = engine
        self._primary = primary
        self._lag_max_ms = lag_max_ms
        self._beats: Beats = deque(maxlen=BEATS_MAX)
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
            lag_ms = await lag_of(self.engine, self._primary, self._lag_max_ms, self._beats)
            self._fresh = lag_ms <= self._lag_max_ms
        except Exception:  # whatever is wrong with it, the primary answers
            self._fresh = False
        finally:
            self._checked_at = time.monotonic()
            self._checking = None

    async def close(self) -> None:
        if self._checking:
            await end({self._checking})
        await self.engine.dispose()
