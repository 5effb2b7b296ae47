"""Leases: who may act alone, and until when."""

from sqlalchemy import Connection, delete, or_, select, update

from miaosha.adapters.sql.database import Database
from miaosha.adapters.sql.inserts import insert_ignoring
from miaosha.adapters.sql.tables import leases


class LeasesLedger:
    """The part of the ledger port with leases."""

    _db: Database

    async def take_lease(self, name: str, owner: str, now_ms: int, ttl_ms: int) -> bool:
        until_ms = now_ms + ttl_ms
        take = (
            update(leases)
            .where(leases.c.name == name)
            .where(or_(leases.c.owner == owner, leases.c.until_ms <= now_ms))
            .values(owner=owner, until_ms=until_ms)
        )
        holder = select(leases.c.owner).where(leases.c.name == name)

        def unit(connection: Connection) -> bool:
            if connection.execute(take).rowcount:
                return True
            row = {"name": name, "owner": owner, "until_ms": until_ms}
            insert_ignoring(connection, leases, [row])
            return connection.execute(holder).scalar() == owner

        return await self._db.write(unit)

    async def drop_lease(self, name: str, owner: str) -> None:
        statement = delete(leases).where(leases.c.name == name, leases.c.owner == owner)
        await self._db.write(lambda connection: connection.execute(statement))
