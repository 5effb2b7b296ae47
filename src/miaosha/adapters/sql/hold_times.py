"""The times of a sale's holds when a rebuild begins: nobody loses time by it, and none keeps what a
clock that was set has given.

A store's clock may have been an hour ahead, or behind, when a hold was granted or a payment begun.
"""

from sqlalchemy import Connection, Update, update

from miaosha.adapters.sql.tables import holds
from miaosha.domain.reservation import HoldState
from miaosha.ports.ledger import REBUILD_EXTRA_MS, HoldTimes, Terms

LIVE = (HoldState.HELD, HoldState.PAYING)


def give_time(connection: Connection, terms: Terms, now_ms: int, times: HoldTimes) -> None:
    """Every live hold may be paid for at least REBUILD_EXTRA_MS more, a payment under way may take
    as long; what is further off than it could have been granted now is brought back."""
    soon_ms = now_ms + REBUILD_EXTRA_MS
    longest_s = max(terms.pay_within_s, terms.standby_pay_within_s) + times.extend_by_s
    latest_ms = max(soon_ms, now_ms + longest_s * 1000)
    live = update(holds).where(holds.c.sale_id == terms.sale_id, holds.c.state.in_(LIVE))
    later = holds.c.version + 1
    paying = live.where(holds.c.state == HoldState.PAYING)
    begun_ms = soon_ms - times.payment_max_s * 1000
    statements: list[Update] = [
        live.where(holds.c.pay_by_ms < soon_ms).values(pay_by_ms=soon_ms, version=later),
        live.where(holds.c.pay_by_ms > latest_ms).values(pay_by_ms=latest_ms, version=later),
        paying.where(holds.c.paying_since_ms < begun_ms).values(paying_since_ms=begun_ms),
        paying.where(holds.c.paying_since_ms > now_ms).values(paying_since_ms=now_ms),
    ]
    for statement in statements:
        connection.execute(statement)
