"""Rows of `holds` as the port knows them, and every read of them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, bindparam, exists, false, select, update

from miaosha.adapters.sql.database import AnyRow, Bulk, Database, primary_key_only
from miaosha.adapters.sql.tables import holds, ledger
from miaosha.adapters.sql.terms import lock_ledger
from miaosha.adapters.sql.trail import write_entry
from miaosha.domain.reservation import GRACE_MS, HoldState
from miaosha.ports.ledger import Extended, Hold

RIDS_MAX = 512  # request ids in one statement
COLUMNS = [holds.c[name] for name in Hold._fields]


_READ = select(*COLUMNS).where(holds.c.rid.in_(bindparam("rids", expanding=True)))
_LOCK = primary_key_only(_READ.order_by(holds.c.rid).with_for_update(), holds)
_SYNCED = (
    update(holds)
    .where(holds.c.rid.in_(bindparam("rids", expanding=True)))
    .where(holds.c.state == bindparam("told"), holds.c.synced == false())
    .values(synced=True)
)


def hold_of(row: AnyRow) -> Hold:
    """`row` starts with `COLUMNS`."""
    hold = Hold(*row[: len(COLUMNS)])
    return hold._replace(state=HoldState(hold.state))


def read_hold(connection: Connection, rid: str) -> Hold | None:
    row = connection.execute(select(*COLUMNS).where(holds.c.rid == rid)).first()
    return hold_of(row) if row else None


def read_holds(connection: Connection, rids: Sequence[str]) -> dict[str, Hold]:
    found: dict[str, Hold] = {}
    for start in range(0, len(rids), RIDS_MAX):
        rows = connection.execute(_READ, {"rids": rids[start : start + RIDS_MAX]})
        found.update((row.rid, hold_of(row)) for row in rows)
    return found


def lock_holds(connection: Connection, rids: Sequence[str]) -> dict[str, Hold]:
    """The rows as they are, held until the transaction ends; in one order, so that two who lock
    several do not deadlock."""
    return {row.rid: hold_of(row) for row in connection.execute(_LOCK, {"rids": rids})}


def _mark_synced(connection: Connection, items: Sequence[tuple[str, HoldState]]) -> Sequence[None]:
    for state in {state for _, state in items}:
        rids = sorted(rid for rid, told in items if told is state)
        connection.execute(_SYNCED, {"rids": rids, "told": state})
    return [None] * len(items)


def _read_each(connection: Connection, items: Sequence[str]) -> list[Hold | None]:
    found = read_holds(connection, items)
    return [found.get(rid) for rid in items]


MARK_SYNCED = Bulk(_mark_synced, key=lambda item: item[0])
READ_ONE = Bulk(_read_each, key=lambda rid: rid)


def _of_unfrozen_sales() -> Select[Any]:
    return (
        select(*COLUMNS)
        .join(ledger, ledger.c.sale_id == holds.c.sale_id)
        .where(ledger.c.frozen.is_(None))
    )


class HoldsLedger:
    """The part of the ledger port that looks at holds, and the mark of what Redis knows."""

    _db: Database

    async def holds(self, rids: Sequence[str]) -> dict[str, Hold]:
        if len(rids) == 1:
            hold = await self._db.read_one(READ_ONE, rids[0])
            return {hold.rid: hold} if hold else {}
        return await self._db.read(lambda connection: read_holds(connection, rids))

    async def _list(self, query: Select[Any]) -> list[Hold]:
        return await self._db.read(lambda c: [hold_of(row) for row in c.execute(query)])

    async def _first(self, query: Select[Any]) -> Hold | None:
        found = await self._list(query.limit(1))
        return found[0] if found else None

    async def live_hold(self, sale_id: int, user_id: int) -> Hold | None:
        return await self._first(
            select(*COLUMNS).where(holds.c.sale_id == sale_id, holds.c.live_user == user_id)
        )

    async def newest_hold(self, sale_id: int, user_id: int) -> Hold | None:
        return await self._first(
            select(*COLUMNS)
            .where(holds.c.sale_id == sale_id, holds.c.user_id == user_id)
            .order_by(holds.c.rank.desc())
        )

    async def due(self, now_ms: int, limit: int) -> list[Hold]:
        return await self._list(
            _of_unfrozen_sales()
            .where(holds.c.state == HoldState.HELD, holds.c.pay_by_ms <= now_ms - GRACE_MS)
            .order_by(holds.c.pay_by_ms)
            .limit(limit)
        )

    async def unsynced(self, limit: int) -> list[Hold]:
        ended = (HoldState.RELEASED, HoldState.PAID)
        return await self._list(
            _of_unfrozen_sales()
            .where(holds.c.synced == false(), holds.c.state.in_(ended))
            .limit(limit)
        )

    async def mark_synced(self, rids: Sequence[str], state: HoldState) -> None:
        assert len(rids) <= RIDS_MAX, len(rids)
        if len(rids) == 1:
            await self._db.write_one(MARK_SYNCED, (rids[0], state))
        elif rids:
            await self._db.write(lambda c: _mark_synced(c, [(rid, state) for rid in rids]))

    async def extend(
        self, rid: str, user_id: int, epoch: int, extra_s: int, now_ms: int
    ) -> Extended:
        in_force = exists().where(
            ledger.c.sale_id == holds.c.sale_id, ledger.c.epoch == epoch, ledger.c.frozen.is_(None)
        )
        statement = (
            update(holds)
            .where(holds.c.rid == rid, holds.c.user_id == user_id)
            .where(holds.c.state == HoldState.HELD, holds.c.extended == false())
            .where(holds.c.pay_by_ms > now_ms - GRACE_MS, in_force)
            .values(
                pay_by_ms=holds.c.pay_by_ms + extra_s * 1000,
                extended=True,
                version=holds.c.version + 1,
            )
        )

        def unit(connection: Connection) -> Extended:
            if known := read_hold(connection, rid):
                lock_ledger(connection, known.sale_id)  # a freeze waits, or went before
            fresh = connection.execute(statement).rowcount > 0
            hold = read_hold(connection, rid)
            if fresh and hold:
                detail = {"rid": rid, "pay_by_ms": hold.pay_by_ms}
                subject = f"sale:{hold.sale_id}"
                write_entry(connection, now_ms, f"user:{user_id}", "hold.extend", subject, detail)
            return Extended(fresh, hold if hold and hold.user_id == user_id else None)

        return await self._db.write(unit)
