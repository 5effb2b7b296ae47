"""Grants: winners become rows of `holds`, all of a call or none, never beyond the stock."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, bindparam, select, update

from miaosha.adapters.sql.database import Rollback
from miaosha.adapters.sql.hold_rows import COLUMNS, hold_of
from miaosha.adapters.sql.inserts import insert_ignoring
from miaosha.adapters.sql.outbox import OutboxMail, write_mails
from miaosha.adapters.sql.sale_terms import RUNNING, lock_terms
from miaosha.adapters.sql.tables import holds, ledger
from miaosha.domain.reservation import HoldState
from miaosha.ports.holds import GrantRefusal, Hold, Winner
from miaosha.ports.sale_terms import Terms

WINNERS_MAX = 512  # of one call: a batch

_SALE: Any = bindparam("sale")
_MORE: Any = bindparam("more")
_ROWS = select(*COLUMNS, holds.c.grant_id).where(holds.c.rid.in_(bindparam("rids", expanding=True)))
# G1: the one statement that stands between a sale and overselling.
_TAKE_UNITS = (
    update(ledger)
    .where(ledger.c.sale_id == _SALE, ledger.c.granted + _MORE <= ledger.c.stock)
    .where(ledger.c.epoch == bindparam("under"), ledger.c.frozen.is_(None))
    .values(granted=ledger.c.granted + _MORE)
)


def grant(
    connection: Connection, sale_id: int, epoch: int, winners: Sequence[Winner], now_ms: int
) -> list[Hold]:
    terms = lock_terms(connection, sale_id)
    if terms is None:
        raise Rollback(GrantRefusal.EPOCH)
    grant_id = str(uuid4())
    insert_ignoring(
        connection, holds, [_row(terms, winner, grant_id, now_ms) for winner in winners]
    )
    rids = [winner.rid for winner in winners]
    rows = connection.execute(_ROWS, {"rids": rids}).all()
    fresh = [hold_of(row) for row in rows if row.grant_id == grant_id]
    found = {row.rid: hold_of(row) for row in rows}
    if refusal := _refusal(terms, epoch, missing=len(found) < len(set(rids)), fresh=bool(fresh)):
        raise Rollback(refusal)
    if fresh:
        _take_units(connection, sale_id, epoch, len(fresh))
        write_mails(connection, [_mail(hold) for hold in fresh], now_ms)
    return [found[rid] for rid in rids]


def _refusal(terms: Terms, epoch: int, *, missing: bool, fresh: bool) -> GrantRefusal | None:
    """`missing`: a rid has no row after the insert, so its user has another live hold. Under an old
    epoch that proves nothing: Redis may have changed since."""
    if not missing and not fresh:
        return None  # a repeat: the rows say what happened since
    if terms.epoch != epoch or terms.phase not in RUNNING:
        return GrantRefusal.EPOCH
    if terms.frozen is not None:
        return GrantRefusal.FROZEN
    return GrantRefusal.USER if missing else None


def _take_units(connection: Connection, sale_id: int, epoch: int, count: int) -> None:
    values = {"sale": sale_id, "under": epoch, "more": count}
    if connection.execute(_TAKE_UNITS, values).rowcount == 0:
        raise Rollback(GrantRefusal.STOCK)


def _row(terms: Terms, winner: Winner, grant_id: str, now_ms: int) -> dict[str, Any]:
    seconds = terms.standby_pay_within_s if winner.promoted else terms.pay_within_s
    return {
        "rid": winner.rid,
        "sale_id": terms.sale_id,
        "user_id": winner.user_id,
        "live_user": winner.user_id,
        "grant_id": grant_id,
        "state": HoldState.HELD,
        "pay_by_ms": now_ms + seconds * 1000,
        "attempt": 0,
        "rank": winner.rank,
        "version": winner.version,
        "promoted": winner.promoted,
        "extended": False,
        "synced": True,  # owed to Redis are only ends of holds; a new one is on `ungranted` there
        "created_at_ms": now_ms,
    }


def _mail(hold: Hold) -> OutboxMail:
    event = "your_turn" if hold.promoted else "won"
    return OutboxMail(event, hold.rid, hold.rid, hold.user_id, hold.sale_id)
