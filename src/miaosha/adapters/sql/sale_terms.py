"""Sale terms: the ledger row and the stored phase; epoch, freeze, stock, close, settle.

Every change of the epoch and every grant goes through the ledger row, so of a freeze and a grant
one sees the other.
"""

from typing import Any

from sqlalchemy import Connection, Exists, Select, Update, exists, false, func, select, update

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


def _select_terms() -> Select[Any]:
    return select(ledger, sales).join(sales, sales.c.id == ledger.c.sale_id)


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
    row = connection.execute(_select_terms().where(ledger.c.sale_id == sale_id)).first()
    return _terms(row) if row else None


def lock_ledger(connection: Connection, sale_id: int) -> None:
    """Hold the ledger row until the transaction ends. Before a statement whose condition looks at
    another table, too: one that waits for the row judges that table as it was before the wait."""
    connection.execute(select(ledger.c.epoch).where(ledger.c.sale_id == sale_id).with_for_update())


def lock_terms(connection: Connection, sale_id: int) -> Terms | None:
    """The terms, with the ledger row locked until the transaction ends."""
    lock_ledger(connection, sale_id)
    return read_terms(connection, sale_id)


def freezing(sale_id: int, epoch: int, why: str) -> Update:
    return (
        update(ledger)
        .where(ledger.c.sale_id == sale_id, ledger.c.epoch == epoch, sale_in(*RUNNING))
        .values(epoch=ledger.c.epoch + 1, frozen=why[:FROZEN_MAX])
    )


class SqlSaleTerms:
    """The port `SaleTerms` in SQL."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def terms(self, sale_id: int) -> Terms | None:
        return await self._db.read(lambda connection: read_terms(connection, sale_id))

    async def live(self) -> list[Terms]:
        query = _select_terms().where(sales.c.phase.in_(RUNNING)).order_by(ledger.c.sale_id)
        return await self._db.read(lambda c: [_terms(row) for row in c.execute(query)])

    async def live_ids(self) -> list[int]:
        query = select(sales.c.id).where(sales.c.phase.in_(RUNNING)).order_by(sales.c.id)
        return await self._db.read(lambda connection: list(connection.execute(query).scalars()))

    async def settled_ids(self, limit: int) -> list[int]:
        query = select(sales.c.id).where(sales.c.phase == Phase.SETTLED)
        query = query.order_by(sales.c.settled_at_ms.desc(), sales.c.id.desc()).limit(limit)
        return await self._db.read(lambda connection: list(connection.execute(query).scalars()))

    async def publish(self, sale_id: int, live_max: int) -> Terms | Unpublished:
        live = select(func.count()).select_from(sales).where(sales.c.phase.in_(RUNNING))
        statement = (
            update(sales)
            .where(sales.c.id == sale_id, sales.c.phase == Phase.DRAFT)
            .values(phase=Phase.SCHEDULED)
        )

        def unit(connection: Connection) -> Terms | Unpublished:
            lock_ledger(connection, sale_id)
            if (connection.execute(live).scalar() or 0) >= live_max:
                return Unpublished.FULL
            if connection.execute(statement).rowcount == 0:
                return Unpublished.PHASE
            terms = read_terms(connection, sale_id)
            assert terms is not None
            return terms

        return await self._db.write(unit)

    async def _change(self, sale_id: int, statement: Update) -> Terms | None:
        """The terms after a compare-and-set; None if it changed nothing."""

        def unit(connection: Connection) -> Terms | None:
            lock_ledger(connection, sale_id)
            if connection.execute(statement).rowcount == 0:
                return None
            return read_terms(connection, sale_id)

        return await self._db.write(unit)

    async def freeze(self, sale_id: int, epoch: int, why: str) -> bool:
        return await self._change(sale_id, freezing(sale_id, epoch, why)) is not None

    async def raise_stock(self, sale_id: int, stock: int, now_ms: int) -> Terms | None:
        in_time = exists().where(
            sales.c.id == ledger.c.sale_id,
            sales.c.phase != Phase.SETTLED,
            sales.c.closes_at_ms > now_ms,
        )
        statement = (
            update(ledger)
            .where(ledger.c.sale_id == sale_id, ledger.c.stock < stock, in_time)
            .values(stock=stock)
        )
        return await self._change(sale_id, statement)

    async def lower_stock(self, sale_id: int, stock: int) -> Terms | None:
        statement = (
            update(ledger)
            .where(
                ledger.c.sale_id == sale_id,
                ledger.c.stock > stock,
                ledger.c.granted <= stock,
                sale_in(*RUNNING),
            )
            .values(stock=stock, epoch=ledger.c.epoch + 1)
        )
        return await self._change(sale_id, statement)

    async def set_phase(self, sale_id: int, old: Phase, new: Phase) -> Terms | None:
        assert new in RUNNING and old is not Phase.SETTLED, (old, new)
        statement = (
            update(sales).where(sales.c.id == sale_id, sales.c.phase == old).values(phase=new)
        )
        return await self._change(sale_id, statement)

    async def close(self, sale_id: int, now_ms: int, *, if_sold_out: bool = False) -> Terms | None:
        """The terms, whether it was open or not; None for a draft or an unknown sale."""
        statement = (
            update(sales)
            .where(sales.c.id == sale_id, sales.c.phase.in_(RUNNING))
            .where(sales.c.closes_at_ms > now_ms)
            .values(closes_at_ms=now_ms)
        )

        def unit(connection: Connection) -> Terms | None:
            now = lock_terms(connection, sale_id)  # a raise of the stock waits, or went before
            if now and (now.sold == now.stock or not if_sold_out):
                connection.execute(statement)
            terms = read_terms(connection, sale_id)
            return None if terms is None or terms.phase is Phase.DRAFT else terms

        return await self._db.write(unit)

    async def settle(self, sale_id: int, verdict: str, now_ms: int) -> bool:
        of_sale = holds.c.sale_id == sale_id
        held = exists().where(of_sale, holds.c.state.in_((HoldState.HELD, HoldState.PAYING)))
        # A sum, so that no index of the sale is taken: of all holds few are not told.
        untold = exists().where(
            holds.c.synced == false(),
            holds.c.state.in_((HoldState.RELEASED, HoldState.PAID)),
            holds.c.sale_id + 0 == sale_id,
        )
        statement = (
            update(sales)
            .where(sales.c.id == sale_id, sales.c.phase.in_(RUNNING))
            .where(sales.c.closes_at_ms <= now_ms, ~held, ~untold)
            .values(phase=Phase.SETTLED, verdict=verdict, settled_at_ms=now_ms)
        )

        def unit(connection: Connection) -> bool:
            terms = lock_terms(connection, sale_id)  # a grant waits, then meets a settled sale
            if terms is None or terms.frozen is not None:
                raise Rollback(False)
            return connection.execute(statement).rowcount > 0

        return await self._db.write(unit)
