"""What audits remember of a sale: a row of `audit_state`, made when there is something to keep."""

from typing import Any

import msgspec
from sqlalchemy import Connection, select, update

from miaosha.adapters.sql.database import Database
from miaosha.adapters.sql.inserts import insert_ignoring
from miaosha.adapters.sql.tables import audit_state
from miaosha.adapters.sql.terms import freezing, lock_ledger
from miaosha.ports.suspects import Suspects

_EMPTY: dict[str, Any] = {
    "things": None,
    "rebuilds": 0,
    "owner": "",
    "started_at_ms": 0,
    "beat_ms": 0,
    "looked": 0,
}


def keep_state(connection: Connection, sale_id: int, **values: Any) -> None:
    """Change the row of a sale, which is made if there is none."""
    change = update(audit_state).where(audit_state.c.sale_id == sale_id).values(**values)
    if connection.execute(change).rowcount == 0:
        insert_ignoring(connection, audit_state, [{"sale_id": sale_id, **_EMPTY}])
        connection.execute(change)


class SuspectsLedger:
    """The part of the ledger port that remembers what differed."""

    _db: Database

    async def suspects(self, sale_id: int) -> Suspects:
        query = select(audit_state).where(audit_state.c.sale_id == sale_id)
        row = await self._db.read(lambda connection: connection.execute(query).first())
        if row is None or row.things is None:
            return Suspects()
        return Suspects(msgspec.json.decode(row.things, type=frozenset[str]), row.rebuilds)

    async def freeze_suspect(self, sale_id: int, epoch: int, why: str, suspects: Suspects) -> bool:
        things = msgspec.json.encode(sorted(suspects.things)).decode()

        def unit(connection: Connection) -> bool:
            lock_ledger(connection, sale_id)
            if connection.execute(freezing(sale_id, epoch, why)).rowcount == 0:
                return False
            keep_state(connection, sale_id, things=things, rebuilds=suspects.rebuilds)
            return True

        return await self._db.write(unit)

    async def forget_suspects(self, sale_id: int) -> None:
        statement = (
            update(audit_state)
            .where(audit_state.c.sale_id == sale_id, audit_state.c.things.is_not(None))
            .values(things=None, rebuilds=0)
        )
        await self._db.write(lambda connection: connection.execute(statement))
