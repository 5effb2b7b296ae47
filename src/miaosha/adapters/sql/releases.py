"""Releases: holds that end without being paid, and the unit each gives back to the ledger."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, bindparam, select, update

from miaosha.adapters.sql.database import Rollback
from miaosha.adapters.sql.hold_rows import COLUMNS, hold_of
from miaosha.adapters.sql.outbox import OutboxMail, write_mails
from miaosha.adapters.sql.tables import holds, ledger
from miaosha.domain.reservation import GRACE_MS, HoldState, State
from miaosha.ports.holds import Hold, Released

RELEASE_MAX = 256  # rids of one call

_SALE: Any = bindparam("sale")
_RIDS: Any = bindparam("rids", expanding=True)
_CALL: Any = bindparam("call")
RELEASED: dict[str, Any] = {
    "state": HoldState.RELEASED,
    "reason": bindparam("why"),
    "live_user": None,
    "paying_since_ms": None,
    "synced": False,
    "version": holds.c.version + 1,
    "grant_id": _CALL,
}
"""What a move to RELEASED sets, whatever the state before; `why` and `call` are said later."""
_RELEASE = (
    update(holds)
    .where(holds.c.rid.in_(_RIDS), holds.c.sale_id == _SALE, holds.c.state == HoldState.HELD)
    .values(RELEASED)
)
_RELEASE_DUE = _RELEASE.where(holds.c.pay_by_ms <= bindparam("latest_ms"))
_MOVED = select(*COLUMNS).where(holds.c.rid.in_(_RIDS), holds.c.grant_id == _CALL)
_STATE = select(ledger.c.epoch, ledger.c.frozen).where(ledger.c.sale_id == _SALE)
_LOWER = (
    update(ledger)
    .where(ledger.c.sale_id == _SALE, ledger.c.frozen.is_(None))
    .values(granted=ledger.c.granted - bindparam("less"))
)


def moved_by(connection: Connection, rids: Sequence[str], call_id: str) -> list[Hold]:
    """The rows a call has moved: it left its id in them, for an UPDATE returns no rows."""
    return [hold_of(r) for r in connection.execute(_MOVED, {"rids": rids, "call": call_id})]


def ledger_state(connection: Connection, sale_id: int) -> tuple[int, bool]:
    """(epoch, frozen). After a change of the ledger row in this transaction it is locked, so the
    epoch is the one that change belongs to."""
    row = connection.execute(_STATE, {"sale": sale_id}).first()
    return (row.epoch, row.frozen is not None) if row else (0, False)


def give_back(connection: Connection, sale_id: int, freed: Sequence[Hold], now_ms: int) -> Released:
    """Lower `granted` and write the mails of holds just RELEASED in this transaction.

    Raises:
        Rollback: the sale is frozen; its value is a Released without holds.
    """
    if freed:
        if connection.execute(_LOWER, {"sale": sale_id, "less": len(freed)}).rowcount == 0:
            raise Rollback(Released(ledger_state(connection, sale_id)[0], True, []))
        expired = [hold for hold in freed if hold.reason == State.EXPIRED]
        write_mails(
            connection,
            [OutboxMail("expired", h.rid, h.rid, h.user_id, h.sale_id) for h in expired],
            now_ms,
        )
    epoch, frozen = ledger_state(connection, sale_id)
    return Released(epoch, frozen, list(freed))


def release(
    connection: Connection, sale_id: int, rids: Sequence[str], reason: str, now_ms: int
) -> Released:
    """HELD → RELEASED: for `expired` those that are due, for `declined` all of `rids`."""
    call_id = str(uuid4())
    changed = _release(connection, sale_id, rids, reason, now_ms, call_id) if rids else 0
    freed = moved_by(connection, rids, call_id) if changed else []
    return give_back(connection, sale_id, freed, now_ms)


def _release(
    connection: Connection,
    sale_id: int,
    rids: Sequence[str],
    reason: str,
    now_ms: int,
    call_id: str,
) -> int:
    """How many rows it moved."""
    values = {"sale": sale_id, "rids": rids, "why": reason, "call": call_id}
    if reason == State.EXPIRED:
        due = connection.execute(_RELEASE_DUE, {**values, "latest_ms": now_ms - GRACE_MS})
        return due.rowcount
    return connection.execute(_RELEASE, values).rowcount
