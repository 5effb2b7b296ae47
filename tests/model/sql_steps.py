"""The ledger's transactions, under the names of `ports/ledger.py`.

SQL is serialisable and durable here; each function is one transaction.
"""

from msgspec.structs import replace

from tests.model.jobs import Winner
from tests.model.scope import Scope
from tests.model.state import (
    DECLINED,
    EPOCH,
    EXPIRED,
    FREEZE,
    HELD,
    OK,
    PAID,
    PAYING,
    SETTLED,
    STOCK,
    USER,
    Ledger,
    Row,
    Rows,
    put,
)


def grant(
    c: Scope, rows: Rows, ledger: Ledger, epoch: int, winners: tuple[Winner, ...]
) -> tuple[int, Rows, Ledger]:
    """Return (refusal, rows, ledger). Rows that exist are passed over: a mere repeat gets its rows
    back, whatever the epoch. Under an old epoch a second live hold proves nothing."""
    new = missing = 0
    after = rows
    for winner in winners:
        if after[winner.rid]:
            continue
        mine = (after[rid] for rid in c.rids_of[c.user_of[winner.rid]])
        if any(row and row.state <= PAID for row in mine):
            missing += 1
            continue
        row = Row(HELD, winner.rank, synced=1, version=winner.version)
        after = put(after, winner.rid, row)
        new += 1
    if not new and not missing:
        return OK, rows, ledger
    if c.rules.epoch_in_grant and ledger.epoch != epoch:
        return EPOCH, rows, ledger
    if c.rules.epoch_in_grant and ledger.frozen:
        return FREEZE, rows, ledger
    if ledger.phase == SETTLED:
        return EPOCH, rows, ledger
    if missing and c.rules.user_conflict:
        return USER, rows, ledger
    if new and ledger.granted + new > ledger.stock:
        return STOCK, rows, ledger
    return OK, after, replace(ledger, granted=ledger.granted + new)


def freeze(ledger: Ledger, epoch: int) -> Ledger:
    """epoch + 1, frozen."""
    return replace(ledger, epoch=epoch + 1, frozen=1) if ledger.epoch == epoch else ledger


def begin_rebuild(c: Scope, rows: Rows, ledger: Ledger) -> tuple[Rows, Ledger]:
    """epoch + 1, frozen; HELD rows get more time."""
    extended = tuple(
        replace(row, due=0, version=row.version + c.versioned)
        if row and row.state == HELD and row.due
        else row
        for row in rows
    )
    return extended, replace(ledger, epoch=ledger.epoch + 1, frozen=1)


def unfreeze(ledger: Ledger, epoch: int) -> Ledger:
    return replace(ledger, frozen=0) if ledger.epoch == epoch else ledger


def release(c: Scope, rows: Rows, ledger: Ledger, rid: int, reason: int) -> tuple[Rows, Ledger]:
    """HELD → RELEASED; the caller has seen that the row is HELD (and due, if it expires)."""
    row = rows[rid]
    assert row
    ended = Row(reason, row.rank, version=row.version + c.versioned)
    return put(rows, rid, ended), replace(ledger, granted=ledger.granted - 1)


def mark_synced(rows: Rows, rid: int, state: int) -> Rows:
    row = rows[rid]
    return put(rows, rid, replace(row, synced=1)) if row and row.state == state else rows


def begin_payment(c: Scope, rows: Rows, rid: int) -> tuple[Rows, int]:
    """HELD → PAYING, attempt + 1; returns the attempt."""
    row = rows[rid]
    assert row
    attempt, version = row.attempt + 1, row.version + c.versioned
    return put(rows, rid, replace(row, state=PAYING, attempt=attempt, version=version)), attempt


def owns(c: Scope, row: Row, attempt: int) -> bool:
    """Whether a CAS out of PAYING in the name of `attempt` finds its row."""
    return row.state == PAYING and (row.attempt == attempt or not c.rules.attempt_in_cas)


def capture(c: Scope, rows: Rows, ledger: Ledger, rid: int) -> tuple[Rows, Ledger]:
    """PAYING → PAID."""
    row = rows[rid]
    assert row
    paid = Row(PAID, row.rank, attempt=row.attempt, version=row.version + c.versioned)
    return put(rows, rid, paid), replace(ledger, sold=ledger.sold + 1)


def refuse(c: Scope, rows: Rows, ledger: Ledger, rid: int) -> tuple[Rows, Ledger, bool]:
    """PAYING → HELD, or → RELEASED past pay_by or at the last attempt (then the third is True). A
    frozen sale releases nothing: the hold goes back to HELD there, due for the sweep."""
    row = rows[rid]
    assert row
    over = int(row.due or row.attempt >= c.attempts)
    if over and not ledger.frozen:
        return (*release(c, rows, ledger, rid, EXPIRED), True)
    held = replace(row, state=HELD, due=over, version=row.version + c.versioned)
    return put(rows, rid, held), ledger, False


def raise_stock(ledger: Ledger, stock: int) -> Ledger:
    return replace(ledger, stock=stock)


def lower_stock(ledger: Ledger, stock: int) -> Ledger | None:
    """epoch + 1 with it: the rebuild follows. None if more are granted."""
    if ledger.granted > stock:
        return None
    return replace(ledger, epoch=ledger.epoch + 1, stock=stock)


def set_phase(ledger: Ledger, phase: int) -> Ledger:
    return replace(ledger, phase=phase)


def may_settle(rows: Rows) -> bool:
    """Nothing HELD, PAYING or unsynced."""
    return all(not row or (row.state in (PAID, EXPIRED, DECLINED) and row.synced) for row in rows)
