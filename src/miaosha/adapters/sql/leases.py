"""Leases: who may act alone."""

from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update

from miaosha.adapters.sql.database import Database
from miaosha.adapters.sql.inserts import insert_ignoring
from miaosha.adapters.sql.tables import leases
from miaosha.ports.leases import LeaseRow

NOBODY = ""


_NAMED: Any = leases.c.name == bindparam("lease")
_OF: Any = leases.c.owner == bindparam("whose")
_ROW = select(leases.c.owner, leases.c.beat, leases.c.until_ms).where(_NAMED)
_TAKE = (
    update(leases)
    .where(_NAMED, _OF, leases.c.beat == bindparam("last"))
    .values(owner=bindparam("mine"), beat=leases.c.beat + 1, until_ms=bindparam("upto_ms"))
)
_FREE = update(leases).where(_NAMED, _OF).values(owner=NOBODY, beat=leases.c.beat + 1)
_DROP = delete(leases).where(_NAMED, _OF)


def _read(connection: Connection, name: str) -> LeaseRow | None:
    row = connection.execute(_ROW, {"lease": name}).first()
    return LeaseRow(*row) if row else None


def _take(connection: Connection, name: str, was: LeaseRow, row: LeaseRow) -> bool:
    """`row` in the place of `was`, if that is what is there."""
    values = {"lease": name, "whose": was.owner, "last": was.beat}
    values |= {"mine": row.owner, "upto_ms": row.until_ms}
    return connection.execute(_TAKE, values).rowcount > 0


class SqlLeases:
    """The port `Leases` in SQL."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def take(
        self, name: str, owner: str, until_ms: int, dead: LeaseRow | None
    ) -> tuple[LeaseRow, LeaseRow | None]:
        def unit(connection: Connection) -> tuple[LeaseRow, LeaseRow | None]:
            before = _read(connection, name)
            if before is None:
                row = {"name": name, "owner": owner, "beat": 1, "until_ms": until_ms}
                insert_ignoring(connection, leases, [row])
            elif before.owner in (owner, NOBODY) or before == dead:
                mine = LeaseRow(owner, before.beat + 1, until_ms)
                if _take(connection, name, before, mine):
                    return mine, before
            now = _read(connection, name)
            assert now is not None, f"the lease {name} went away in one transaction"
            return now, before

        return await self._db.write(unit)

    async def free(self, name: str, owner: str) -> None:
        values = {"lease": name, "whose": owner}
        await self._db.write(lambda connection: connection.execute(_FREE, values))

    async def drop(self, name: str, owner: str) -> None:
        values = {"lease": name, "whose": owner}
        await self._db.write(lambda connection: connection.execute(_DROP, values))
