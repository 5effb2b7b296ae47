"""Audits: a row of `audit_state` for each sale, made when there is something to keep."""

from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, select, update

from miaosha.adapters.sql.database import AnyRow, Database
from miaosha.adapters.sql.inserts import insert_ignoring
from miaosha.adapters.sql.sale_terms import RUNNING, freeze, lock_ledger
from miaosha.adapters.sql.tables import audit_state, sales
from miaosha.ports.audits import ALIVE_MS, AuditRun, Suspects

_EMPTY: dict[str, Any] = {
    "things": None,
    "rebuilds": 0,
    "owner": "",
    "started_at_ms": 0,
    "beat_ms": 0,
    "looked": 0,
}

_SALE: Any = bindparam("sale")
_ROW = select(audit_state).where(audit_state.c.sale_id == _SALE)
_LOCK_ROW = _ROW.with_for_update()
_SUSPECTED = (
    update(audit_state)
    .where(audit_state.c.sale_id == _SALE)
    .values(things=bindparam("found"), rebuilds=bindparam("times"))
)
_FORGOTTEN = (
    update(audit_state)
    .where(audit_state.c.sale_id == _SALE, audit_state.c.things.is_not(None))
    .values(things=None, rebuilds=0)
)
_SAID = (
    update(sales)
    .where(sales.c.id == _SALE, sales.c.phase.in_(RUNNING))
    .values(verdict=bindparam("said"))
)
_VERDICT = select(sales.c.verdict).where(sales.c.id == _SALE)


def _row_of(connection: Connection, sale_id: int) -> AnyRow:
    """The row of a sale, made if there is none, and locked until the transaction ends."""
    row = connection.execute(_LOCK_ROW, {"sale": sale_id}).first()
    if row is None:
        insert_ignoring(connection, audit_state, [{"sale_id": sale_id, **_EMPTY}])
        row = connection.execute(_LOCK_ROW, {"sale": sale_id}).one()
    return row


def _alive(row: AnyRow, now_ms: int) -> bool:
    """Also not if the beat is of later than now: the clock was set back since."""
    return bool(row.owner) and abs(now_ms - row.beat_ms) <= ALIVE_MS


class SqlAudits:
    """The port `Audits` in SQL."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def suspects(self, sale_id: int) -> Suspects:
        row = await self._db.read(lambda c: c.execute(_ROW, {"sale": sale_id}).first())
        if row is None or row.things is None:
            return Suspects()
        return Suspects(msgspec.json.decode(row.things, type=frozenset[str]), row.rebuilds)

    async def freeze_suspect(self, sale_id: int, epoch: int, why: str, suspects: Suspects) -> bool:
        things = msgspec.json.encode(sorted(suspects.things)).decode()
        values = {"sale": sale_id, "found": things, "times": suspects.rebuilds}

        def unit(connection: Connection) -> bool:
            lock_ledger(connection, sale_id)
            if not freeze(connection, sale_id, epoch, why):
                return False
            _row_of(connection, sale_id)
            connection.execute(_SUSPECTED, values)
            return True

        return await self._db.write(unit)

    async def forget_suspects(self, sale_id: int) -> None:
        await self._db.write(lambda c: c.execute(_FORGOTTEN, {"sale": sale_id}))

    async def begin(self, sale_id: int, owner: str, run: AuditRun, now_ms: int) -> bool:
        values = {"owner": owner, "beat_ms": now_ms, **msgspec.structs.asdict(run)}
        begin = update(audit_state).where(audit_state.c.sale_id == sale_id).values(**values)

        def unit(connection: Connection) -> bool:
            row = _row_of(connection, sale_id)
            if row.owner != owner and _alive(row, now_ms):
                return False
            connection.execute(begin)
            return True

        return await self._db.write(unit)

    async def beat(self, sale_id: int, owner: str, looked: int, now_ms: int) -> None:
        await self._change_run(sale_id, owner, {"looked": looked, "beat_ms": now_ms})

    async def end(self, sale_id: int, owner: str) -> None:
        await self._change_run(sale_id, owner, {"owner": ""})

    async def _change_run(self, sale_id: int, mine: str, values: dict[str, Any]) -> None:
        mine_now = (audit_state.c.sale_id == sale_id, audit_state.c.owner == mine)
        statement = update(audit_state).where(*mine_now).values(**values)
        await self._db.write(lambda connection: connection.execute(statement))

    async def under_way(self, sale_id: int, now_ms: int) -> AuditRun | None:
        row = await self._db.read(lambda c: c.execute(_ROW, {"sale": sale_id}).first())
        if row is None or not _alive(row, now_ms):
            return None
        return AuditRun(row.started_at_ms, row.looked)

    async def keep_verdict(self, sale_id: int, verdict: str) -> None:
        values = {"sale": sale_id, "said": verdict}
        await self._db.write(lambda connection: connection.execute(_SAID, values))

    async def verdict(self, sale_id: int) -> str | None:
        row = await self._db.read(lambda c: c.execute(_VERDICT, {"sale": sale_id}).first())
        return None if row is None else row.verdict or ""
