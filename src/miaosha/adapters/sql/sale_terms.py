"""Sale terms: the ledger row and the stored phase; epoch, freeze, stock, close, settle.

Every change of the epoch and every grant goes through the ledger row, so of a freeze and a grant
one sees the other.
"""

from typing import Any

from sqlalchemy import (
    Connection,
    Exists,
    Integer,
    Update,
    bindparam,
    exists,
    false,
    func,
    select,
    update,
)

from miaosha.adapters.sql.database import AnyRow, Database, Rollback
from miaosha.adapters.sql.tables import holds, ledger, sales
from miaosha.domain.money import Money
from miaosha.domain.reservation import HoldState
from miaosha.domain.sale import Phase
from miaosha.ports.sale_terms import Terms, Unpublished

FROZEN_MAX = 500  # characters of a reason that are kept
RUNNING = (Phase.SCHEDULED, Phase.PAUSED)  # stored phases of a sale that may have holds


def sale_in(*phases: Phase) -> Exists:
    """The ledger row's sale is stored as one of `phases`."""
    return exists().where(sales.c.id == ledger.c.sale_id, sales.c.phase.in_(phases))


_SALE: Any = bindparam("sale")
_NOW: Any = bindparam("now_ms")
_ALL_TERMS = select(ledger, sales).join(sales, sales.c.id == ledger.c.sale_id)
_TERMS = _ALL_TERMS.where(ledger.c.sale_id == _SALE)
_LOCK = select(ledger.c.epoch).where(ledger.c.sale_id == _SALE).with_for_update()


def _terms(row: AnyRow) -> Terms:
    return Terms(
        sale_id=row.sale_id,
        epoch=row.epoch,
        frozen=row.frozen,
        stock=row.stock,
        granted=row.granted,
        sold=row.sold,
        phase=Phase(row.phase),
        opens_at_ms=row.opens_at_ms,
        closes_at_ms=row.closes_at_ms,
        pay_within_s=row.pay_within_s,
        standby_pay_within_s=row.standby_pay_within_s,
        standby_limit=row.standby_limit,
        price=Money(row.amount, row.currency),
    )


def read_terms(connection: Connection, sale_id: int) -> Terms | None:
    row = connection.execute(_TERMS, {"sale": sale_id}).first()
    return _terms(row) if row else None


def lock_ledger(connection: Connection, sale_id: int) -> None:
    """Hold the ledger row until the transaction ends. Before a statement whose condition looks at
    another table, too: one that waits for the row judges that table as it was before the wait."""
    connection.execute(_LOCK, {"sale": sale_id})


def lock_terms(connection: Connection, sale_id: int) -> Terms | None:
    """The terms, with the ledger row locked until the transaction ends."""
    lock_ledger(connection, sale_id)
    return read_terms(connection, sale_id)


_FREEZE = (
    update(ledger)
    .where(ledger.c.sale_id == _SALE, ledger.c.epoch == bindparam("under"), sale_in(*RUNNING))
    .values(epoch=ledger.c.epoch + 1, frozen=bindparam("why"))
)


def freeze(connection: Connection, sale_id: int, epoch: int, why: str) -> bool:
    """Whether it did; the ledger row is locked."""
    values = {"sale": sale_id, "under": epoch, "why": why[:FROZEN_MAX]}
    return connection.execute(_FREEZE, values).rowcount > 0


_RUNNING_TERMS = _ALL_TERMS.where(sales.c.phase.in_(RUNNING)).order_by(ledger.c.sale_id)
_RUNNING_IDS = select(sales.c.id).where(sales.c.phase.in_(RUNNING)).order_by(sales.c.id)
_RUNNING_COUNT = select(func.count()).select_from(sales).where(sales.c.phase.in_(RUNNING))
_SETTLED_EPOCHS = (
    select(sales.c.id, ledger.c.epoch)
    .join(ledger, ledger.c.sale_id == sales.c.id)
    .where(sales.c.phase == Phase.SETTLED)
    .order_by(sales.c.settled_at_ms.desc(), sales.c.id.desc())
    .limit(bindparam("n", type_=Integer))
)
_MOVE = (
    update(sales)
    .where(sales.c.id == _SALE, sales.c.phase == bindparam("old"))
    .values(phase=bindparam("new"))
)
_RAISE = (
    update(ledger)
    .where(ledger.c.sale_id == _SALE, ledger.c.stock < bindparam("units"))
    .where(
        exists().where(
            sales.c.id == ledger.c.sale_id,
            sales.c.phase != Phase.SETTLED,
            sales.c.closes_at_ms > _NOW,
        )
    )
    .values(stock=bindparam("units"))
)
_LOWER = (
    update(ledger)
    .where(ledger.c.sale_id == _SALE, ledger.c.stock > bindparam("units"))
    .where(ledger.c.granted <= bindparam("units"), sale_in(*RUNNING))
    .values(stock=bindparam("units"), epoch=ledger.c.epoch + 1)
)
_CLOSE = (
    update(sales)
    .where(sales.c.id == _SALE, sales.c.phase.in_(RUNNING), sales.c.closes_at_ms > _NOW)
    .values(closes_at_ms=_NOW)
)
_UNPAID = exists().where(
    holds.c.sale_id == _SALE, holds.c.state.in_((HoldState.HELD, HoldState.PAYING))
)
# A sum, so that no index of the sale is taken: of all holds few are not told.
_UNTOLD = exists().where(
    holds.c.synced == false(),
    holds.c.state.in_((HoldState.RELEASED, HoldState.PAID)),
    holds.c.sale_id + 0 == _SALE,
)
_SETTLE = (
    update(sales)
    .where(sales.c.id == _SALE, sales.c.phase.in_(RUNNING))
    .where(sales.c.closes_at_ms <= _NOW, ~_UNPAID, ~_UNTOLD)
    .values(phase=Phase.SETTLED, verdict=bindparam("said"), settled_at_ms=_NOW)
)


class SqlSaleTerms:
    """The port `SaleTerms` in SQL."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def terms(self, sale_id: int) -> Terms | None:
        return await self._db.read(lambda connection: read_terms(connection, sale_id))

    async def live(self) -> list[Terms]:
        return await self._db.read(lambda c: [_terms(row) for row in c.execute(_RUNNING_TERMS)])

    async def live_ids(self) -> list[int]:
        return await self._db.read(lambda connection: list(connection.scalars(_RUNNING_IDS)))

    async def settled_epochs(self, limit: int) -> dict[int, int]:
        return await self._db.read(
            lambda c: {row.id: row.epoch for row in c.execute(_SETTLED_EPOCHS, {"n": limit})}
        )

    async def publish(self, sale_id: int, live_max: int) -> Terms | Unpublished:
        values = {"sale": sale_id, "old": Phase.DRAFT, "new": Phase.SCHEDULED}

        def unit(connection: Connection) -> Terms | Unpublished:
            lock_ledger(connection, sale_id)
            if (connection.execute(_RUNNING_COUNT).scalar() or 0) >= live_max:
                return Unpublished.FULL
            if connection.execute(_MOVE, values).rowcount == 0:
                return Unpublished.PHASE
            terms = read_terms(connection, sale_id)
            assert terms is not None
            return terms

        return await self._db.write(unit)

    async def _change(self, sale_id: int, statement: Update, **values: Any) -> Terms | None:
        """The terms after a compare-and-set; None if it changed nothing."""

        def unit(connection: Connection) -> Terms | None:
            lock_ledger(connection, sale_id)
            if connection.execute(statement, {"sale": sale_id, **values}).rowcount == 0:
                return None
            return read_terms(connection, sale_id)

        return await self._db.write(unit)

    async def freeze(self, sale_id: int, epoch: int, why: str) -> bool:
        def unit(connection: Connection) -> bool:
            lock_ledger(connection, sale_id)
            return freeze(connection, sale_id, epoch, why)

        return await self._db.write(unit)

    async def raise_stock(self, sale_id: int, stock: int, now_ms: int) -> Terms | None:
        return await self._change(sale_id, _RAISE, units=stock, now_ms=now_ms)

    async def lower_stock(self, sale_id: int, stock: int) -> Terms | None:
        return await self._change(sale_id, _LOWER, units=stock)

    async def set_phase(self, sale_id: int, old: Phase, new: Phase) -> Terms | None:
        assert new in RUNNING and old is not Phase.SETTLED, (old, new)
        return await self._change(sale_id, _MOVE, old=old, new=new)

    async def close(self, sale_id: int, now_ms: int, *, if_sold_out: bool = False) -> Terms | None:
        """The terms, whether it was open or not; None for a draft or an unknown sale."""

        def unit(connection: Connection) -> Terms | None:
            terms = lock_terms(connection, sale_id)  # a raise of the stock waits, or went before
            if terms and (terms.sold == terms.stock or not if_sold_out):
                connection.execute(_CLOSE, {"sale": sale_id, "now_ms": now_ms})
                terms = read_terms(connection, sale_id)
            return None if terms is None or terms.phase is Phase.DRAFT else terms

        return await self._db.write(unit)

    async def settle(self, sale_id: int, verdict: str, now_ms: int) -> bool:
        values = {"sale": sale_id, "said": verdict, "now_ms": now_ms}

        def unit(connection: Connection) -> bool:
            terms = lock_terms(connection, sale_id)  # a grant waits, then meets a settled sale
            if terms is None or terms.frozen is not None:
                raise Rollback(False)
            return connection.execute(_SETTLE, values).rowcount > 0

        return await self._db.write(unit)
