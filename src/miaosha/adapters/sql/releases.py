"""Releases: holds that end without being paid, and the unit each gives back to the ledger."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Update, bindparam, select, update

from miaosha.adapters.sql.database import Rollback
from miaosha.adapters.sql.hold_rows import COLUMNS, hold_of
from miaosha.adapters.sql.outbox import OutboxMail, write_mails
from miaosha.adapters.sql.tables import holds, ledger
from miaosha.domain.reservation import GRACE_MS, HoldState, State
from miaosha.ports.holds import Hold, Released

RELEASE_MAX = 256  # rids of one call


def released_values(reason: str, call_id: str) -> dict[str, Any]:
    """What a move to RELEASED sets, whatever the state before."""
    return {
        "state": HoldState.RELEASED,
        "reason": reason,
        "live_user": None,
        "paying_since_ms": None,
        "synced": False,
        "version": holds.c.version + 1,
        "grant_id": call_id,
    }


def moved_by(connection: Connection, rids: Sequence[str], call_id: str) -> list[Hold]:
    """The rows a call has moved: it left its id in them, for an UPDATE returns no rows."""
    query = select(*COLUMNS).where(holds.c.rid.in_(rids), holds.c.grant_id == call_id)
    return [hold_of(row) for row in connection.execute(query)]


_STATE = select(ledger.c.epoch, ledger.c.frozen).where(ledger.c.sale_id == bindparam("sale"))


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
        lower = (
            update(ledger)
            .where(ledger.c.sale_id == sale_id, ledger.c.frozen.is_(None))
            .values(granted=ledger.c.granted - len(freed))
        )
        if connection.execute(lower).rowcount == 0:
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
    statement = _release(sale_id, rids, reason, now_ms, call_id)
    changed = connection.execute(statement).rowcount if rids else 0
    freed = moved_by(connection, rids, call_id) if changed else []
    return give_back(connection, sale_id, freed, now_ms)


def _release(sale_id: int, rids: Sequence[str], reason: str, now_ms: int, call_id: str) -> Update:
    statement = (
        update(holds)
        .where(holds.c.rid.in_(rids), holds.c.sale_id == sale_id)
        .where(holds.c.state == HoldState.HELD)
        .values(**released_values(reason, call_id))
    )
    if reason == State.EXPIRED:
        statement = statement.where(holds.c.pay_by_ms <= now_ms - GRACE_MS)
    return statement
