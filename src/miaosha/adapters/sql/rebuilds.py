"""Rebuild rows: takes the ledger's epoch on, and reads the sale's rows in pages."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Update, bindparam, func, select, update

from miaosha.adapters.sql.database import Database
from miaosha.adapters.sql.hold_rows import read_holds
from miaosha.adapters.sql.sale_terms import FROZEN_MAX, RUNNING, lock_ledger, read_terms, sale_in
from miaosha.adapters.sql.tables import holds, ledger
from miaosha.domain.reservation import HoldState
from miaosha.ports.holds import Hold
from miaosha.ports.rebuilding import PAGE, UNPAID, HoldBounds
from miaosha.ports.sale_terms import Terms

_SALE: Any = bindparam("sale")
_BUYERS = (
    select(holds.c.user_id)
    .where(holds.c.sale_id == _SALE, holds.c.user_id.in_(bindparam("users", expanding=True)))
    .distinct()
)


def _moves(sale_id: int, rids: Sequence[str], bounds: HoldBounds) -> list[Update]:
    """Each moves one time of those that are before, or behind, what `bounds` keep."""
    live = update(holds).where(holds.c.rid.in_(sorted(rids)), holds.c.sale_id == sale_id)
    live = live.where(holds.c.state.in_(UNPAID))
    paying = live.where(holds.c.state == HoldState.PAYING)
    pay_by, since, later = holds.c.pay_by_ms, holds.c.paying_since_ms, holds.c.version + 1
    soonest_ms, latest_ms, begun_ms, now_ms = bounds
    return [
        live.where(pay_by < soonest_ms).values(pay_by_ms=soonest_ms, version=later),
        live.where(pay_by > latest_ms).values(pay_by_ms=latest_ms, version=later),
        paying.where(since < begun_ms).values(paying_since_ms=begun_ms),
        paying.where(since > now_ms).values(paying_since_ms=now_ms),
    ]


class SqlRebuilds:
    """The port `RebuildRows` in SQL."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def begin(
        self, sale_id: int, why: str, *, anew: bool = False, seen: Terms | None = None
    ) -> Terms | None:
        reason = why[:FROZEN_MAX]
        bump = (
            update(ledger)
            .where(ledger.c.sale_id == sale_id, sale_in(*RUNNING))
            .values(
                epoch=ledger.c.epoch + 1,
                frozen=reason if anew else func.coalesce(ledger.c.frozen, reason),
            )
        )
        if seen is not None:
            frozen = ledger.c.frozen
            same = frozen.is_(None) if seen.frozen is None else frozen == seen.frozen
            bump = bump.where(ledger.c.epoch == seen.epoch, same)

        def unit(connection: Connection) -> Terms | None:
            lock_ledger(connection, sale_id)
            if connection.execute(bump).rowcount == 0:
                return None
            return read_terms(connection, sale_id)

        return await self._db.write(unit)

    async def bring_within(
        self, sale_id: int, rids: Sequence[str], bounds: HoldBounds
    ) -> dict[str, Hold]:
        assert len(rids) <= PAGE, len(rids)
        statements = _moves(sale_id, rids, bounds)

        def unit(connection: Connection) -> dict[str, Hold]:
            for statement in statements:
                connection.execute(statement)
            return read_holds(connection, rids)

        return await self._db.write(unit)

    async def buyers(self, sale_id: int, users: Collection[int]) -> set[int]:
        assert len(users) <= PAGE, len(users)
        values = {"sale": sale_id, "users": sorted(users)}
        return await self._db.read(lambda c: set(c.scalars(_BUYERS, values)))

    async def unfreeze(self, sale_id: int, epoch: int) -> bool:
        statement = (
            update(ledger)
            .where(ledger.c.sale_id == sale_id, ledger.c.epoch == epoch)
            .values(frozen=None)
        )
        return await self._db.write(lambda c: c.execute(statement).rowcount > 0)
