"""Leases: who may act alone."""

from sqlalchemy import Connection, delete, select, update

from miaosha.adapters.sql.database import Database
from miaosha.adapters.sql.inserts import insert_ignoring
from miaosha.adapters.sql.tables import leases
from miaosha.ports.leases import LeaseRow

NOBODY = ""


def _read(connection: Connection, name: str) -> LeaseRow | None:
    query = select(leases.c.owner, leases.c.beat, leases.c.until_ms).where(leases.c.name == name)
    row = connection.execute(query).first()
    return LeaseRow(*row) if row else None


class SqlLeases:
    """The port `Leases` in SQL."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def take(
        self, name: str, owner: str, until_ms: int, dead: LeaseRow | None
    ) -> tuple[LeaseRow, LeaseRow | None]:
        def take(connection: Connection, was: LeaseRow) -> bool:
            statement = (
                update(leases)
                .where(leases.c.name == name)
                .where(leases.c.owner == was.owner, leases.c.beat == was.beat)
                .values(owner=owner, beat=was.beat + 1, until_ms=until_ms)
            )
            return connection.execute(statement).rowcount > 0

        def unit(connection: Connection) -> tuple[LeaseRow, LeaseRow | None]:
            before = _read(connection, name)
            if before is None:
                row = {"name": name, "owner": owner, "beat": 1, "until_ms": until_ms}
                insert_ignoring(connection, leases, [row])
            elif before.owner in (owner, NOBODY) or before == dead:
                take(connection, before)
            now = _read(connection, name)
            assert now is not None, f"the lease {name} went away in one transaction"
            return now, before

        return await self._db.write(unit)

    async def free(self, name: str, owner: str) -> None:
        statement = (
            update(leases)
            .where(leases.c.name == name, leases.c.owner == owner)
            .values(owner=NOBODY, beat=leases.c.beat + 1)
        )
        await self._db.write(lambda connection: connection.execute(statement))

    async def drop(self, name: str, owner: str) -> None:
        statement = delete(leases).where(leases.c.name == name, leases.c.owner == owner)
        await self._db.write(lambda connection: connection.execute(statement))
