"""Books: how a sale went, counted from its rows: units by what became of them, times, money."""

from typing import Any

from sqlalchemy import Connection, Table, and_, case, func, select, true

from miaosha.adapters.sql.tables import holds, orders, outbox, payments, sales
from miaosha.domain.reservation import HoldState
from miaosha.ports.backoffice import Milestones, SaleBooks


def read_books(connection: Connection, sale_id: int) -> SaleBooks | None:
    sale = connection.execute(select(sales.c.verdict).where(sales.c.id == sale_id)).first()
    if sale is None:
        return None
    counted = select(holds.c.state, holds.c.reason, holds.c.promoted, func.count())
    rows = connection.execute(
        counted.where(holds.c.sale_id == sale_id).group_by(
            holds.c.state, holds.c.reason, holds.c.promoted
        )
    )
    sums: dict[str, int] = {}
    for state, reason, promoted, count in rows:
        name = reason or state.lower()
        sums[name] = sums.get(name, 0) + count
        if promoted:
            sums["promoted"] = sums.get("promoted", 0) + count
        if promoted and state == HoldState.PAID:
            sums["rescued"] = count
    names = ("held", "paying", "paid", "expired", "declined", "promoted", "rescued")
    return SaleBooks(
        **{name: sums.get(name, 0) for name in names},
        orders=sum(_by_state(connection, orders, sale_id).values()),
        mails=_by_state(connection, outbox, sale_id),
        verdict=sale.verdict or "",
    )


def read_milestones(connection: Connection, sale_id: int) -> Milestones | None:
    sale = connection.execute(select(sales.c.settled_at_ms).where(sales.c.id == sale_id)).first()
    if sale is None:
        return None
    direct = case((holds.c.promoted == true(), None), else_=holds.c.created_at_ms)
    promoted = case((holds.c.promoted == true(), holds.c.created_at_ms), else_=None)
    held = connection.execute(
        select(
            func.min(holds.c.created_at_ms),
            func.max(direct),
            func.max(promoted),
            func.count(holds.c.user_id.distinct()),
        ).where(holds.c.sale_id == sale_id)
    ).one()
    paid = connection.execute(
        select(
            func.min(orders.c.created_at_ms),
            func.max(orders.c.created_at_ms),
            func.sum(orders.c.amount),
        ).where(and_(orders.c.sale_id == sale_id, orders.c.state == "paid"))
    ).one()
    attempts = _by_state(connection, payments, sale_id)
    return Milestones(
        first_hold_at_ms=held[0],
        gone_at_ms=held[1],
        last_promoted_at_ms=held[2],
        buyers=held[3],
        first_paid_at_ms=paid[0],
        last_paid_at_ms=paid[1],
        amount=int(paid[2] or 0),
        attempts=attempts,
        refunded=attempts.get("refunded", 0),
        settled_at_ms=sale.settled_at_ms,
    )


def _by_state(connection: Connection, table: Table, sale_id: int) -> dict[str, int]:
    state: Any = table.c.state
    query = select(state, func.count()).where(table.c.sale_id == sale_id).group_by(state)
    return {row[0]: row[1] for row in connection.execute(query)}
