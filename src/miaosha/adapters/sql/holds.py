"""Holds: their grant, their release, every look at them, and the mark of what Redis knows."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Integer, Select, bindparam, exists, false, select, update

from miaosha.adapters.sql.database import Bulk, Database
from miaosha.adapters.sql.grants import WINNERS_MAX, grant
from miaosha.adapters.sql.hold_rows import COLUMNS, RIDS_MAX, hold_of, read_hold, read_holds
from miaosha.adapters.sql.releases import RELEASE_MAX, release
from miaosha.adapters.sql.sale_terms import lock_ledger
from miaosha.adapters.sql.tables import holds, ledger
from miaosha.adapters.sql.trail import write_entry
from miaosha.domain.reservation import GRACE_MS, HoldState, State
from miaosha.ports.holds import Extended, GrantRefusal, Hold, Released, Winner
from miaosha.ports.rebuilding import PAGE

_SALE: Any = bindparam("sale")
_USER: Any = bindparam("user")
_N: Any = bindparam("n", type_=Integer)
_LIVE = select(*COLUMNS).where(holds.c.sale_id == _SALE, holds.c.live_user == _USER).limit(1)
_NEWEST = (
    select(*COLUMNS)
    .where(holds.c.sale_id == _SALE, holds.c.user_id == _USER)
    .order_by(holds.c.rank.desc())
    .limit(1)
)
# By a buyer's rows and then by rid: no OR, which would keep the index from giving the order.
_PAGE = (
    select(*COLUMNS)
    .where(holds.c.sale_id == _SALE, holds.c.user_id >= _USER)
    .where((holds.c.user_id > _USER) | (holds.c.rid > bindparam("rid")))
    .order_by(holds.c.user_id, holds.c.rid)
    .limit(PAGE)
)
_OF_UNFROZEN_SALES = (
    select(*COLUMNS)
    .join(ledger, ledger.c.sale_id == holds.c.sale_id)
    .where(ledger.c.frozen.is_(None))
)
_DUE = (
    _OF_UNFROZEN_SALES.where(holds.c.state == HoldState.HELD)
    .where(holds.c.pay_by_ms <= bindparam("latest_ms"))
    .order_by(holds.c.pay_by_ms)
    .limit(_N)
)
_UNSYNCED = (
    _OF_UNFROZEN_SALES.where(holds.c.synced == false())
    .where(holds.c.state.in_((HoldState.RELEASED, HoldState.PAID)))
    .limit(_N)
)
_SYNCED = (
    update(holds)
    .where(holds.c.rid.in_(bindparam("rids", expanding=True)))
    .where(holds.c.state == bindparam("told"), holds.c.synced == false())
    .values(synced=True)
)
_IN_FORCE = exists().where(
    ledger.c.sale_id == holds.c.sale_id,
    ledger.c.epoch == bindparam("under"),
    ledger.c.frozen.is_(None),
)
_EXTEND = (
    update(holds)
    .where(holds.c.rid == bindparam("of"), holds.c.user_id == _USER)
    .where(holds.c.state == HoldState.HELD, holds.c.extended == false())
    .where(holds.c.pay_by_ms > bindparam("over_ms"), _IN_FORCE)
    .values(
        pay_by_ms=holds.c.pay_by_ms + bindparam("extra_ms"),
        extended=True,
        version=holds.c.version + 1,
    )
)


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


class SqlHolds:
    """The port `Holds` in SQL."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def grant(
        self, sale_id: int, epoch: int, winners: Sequence[Winner], now_ms: int
    ) -> list[Hold] | GrantRefusal:
        assert len(winners) <= WINNERS_MAX, len(winners)
        if not winners:
            return []
        answer: list[Hold] | GrantRefusal = await self._db.write(
            lambda connection: grant(connection, sale_id, epoch, winners, now_ms)
        )
        return answer

    async def release(
        self, sale_id: int, rids: Sequence[str], reason: str, now_ms: int
    ) -> Released:
        assert reason in (State.EXPIRED, State.DECLINED), reason
        assert len(rids) <= RELEASE_MAX, len(rids)
        return await self._db.write(lambda c: release(c, sale_id, rids, reason, now_ms))

    async def by_rid(self, rids: Sequence[str]) -> dict[str, Hold]:
        if len(rids) == 1:
            hold = await self._db.read_one(READ_ONE, rids[0])
            return {hold.rid: hold} if hold else {}
        return await self._db.read(lambda connection: read_holds(connection, rids))

    async def _list(self, query: Select[Any], values: dict[str, Any]) -> list[Hold]:
        return await self._db.read(lambda c: [hold_of(row) for row in c.execute(query, values)])

    async def _first(self, query: Select[Any], values: dict[str, Any]) -> Hold | None:
        found = await self._list(query, values)
        return found[0] if found else None

    async def live(self, sale_id: int, user_id: int) -> Hold | None:
        return await self._first(_LIVE, {"sale": sale_id, "user": user_id})

    async def newest(self, sale_id: int, user_id: int) -> Hold | None:
        return await self._first(_NEWEST, {"sale": sale_id, "user": user_id})

    async def due(self, now_ms: int, limit: int) -> list[Hold]:
        return await self._list(_DUE, {"latest_ms": now_ms - GRACE_MS, "n": limit})

    async def unsynced(self, limit: int) -> list[Hold]:
        return await self._list(_UNSYNCED, {"n": limit})

    async def mark_synced(self, rids: Sequence[str], state: HoldState) -> None:
        assert len(rids) <= RIDS_MAX, len(rids)
        if len(rids) == 1:
            await self._db.write_one(MARK_SYNCED, (rids[0], state))
        elif rids:
            await self._db.write(lambda c: _mark_synced(c, [(rid, state) for rid in rids]))

    async def extend(
        self, rid: str, user_id: int, epoch: int, extra_s: int, now_ms: int
    ) -> Extended:
        values = {"of": rid, "user": user_id, "under": epoch}
        values |= {"over_ms": now_ms - GRACE_MS, "extra_ms": extra_s * 1000}

        def unit(connection: Connection) -> Extended:
            if known := read_hold(connection, rid):
                lock_ledger(connection, known.sale_id)  # a freeze waits, or went before
            fresh = connection.execute(_EXTEND, values).rowcount > 0
            hold = read_hold(connection, rid)
            if fresh and hold:
                detail = {"rid": rid, "pay_by_ms": hold.pay_by_ms}
                subject = f"sale:{hold.sale_id}"
                write_entry(connection, now_ms, f"user:{user_id}", "hold.extend", subject, detail)
            return Extended(fresh, hold if hold and hold.user_id == user_id else None)

        return await self._db.write(unit)

    async def page(self, sale_id: int, after: tuple[int, str]) -> list[Hold]:
        return await self._list(_PAGE, {"sale": sale_id, "user": after[0], "rid": after[1]})
