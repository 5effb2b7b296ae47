"""The ledger's transactions on tuples, under the names of `ports/ledger.py`.

SQL is serialisable and durable here; each function is one transaction.
"""

from typing import Any

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
    Rows,
    Scope,
    put,
)

Ledger = tuple[int, int, int, int, int, int]
Winner = tuple[int, int, int]  # rid, rank, version


def grant(
    c: Scope, rows: Rows, ledger: Ledger, epoch: int, winners: tuple[Winner, ...]
) -> tuple[int, Rows, Ledger]:
    """(refusal, rows, ledger). Rows that exist are passed over; a mere repeat is answered by its
    rows, whatever the epoch. Under an old epoch a second live hold proves nothing."""
    new = missing = 0
    after = rows
    for rid, rank, version in winners:
        if after[rid]:
            continue
        mine = c.rids_of[c.user_of[rid]]
        if any(after[other] and after[other][0] <= PAID for other in mine):
            missing += 1
            continue
        after = put(after, rid, (HELD, rank, 1, 0, 0, version))
        new += 1
    if not new and not missing:
        return OK, rows, ledger
    if c.rules.epoch_in_grant and ledger[0] != epoch:
        return EPOCH, rows, ledger
    if c.rules.epoch_in_grant and ledger[1]:
        return FREEZE, rows, ledger
    if ledger[5] == SETTLED:
        return EPOCH, rows, ledger
    if missing and c.rules.user_conflict:
        return USER, rows, ledger
    if new and ledger[3] + new > ledger[2]:
        return STOCK, rows, ledger
    return OK, after, (*ledger[:3], ledger[3] + new, *ledger[4:])


def freeze(ledger: Ledger, epoch: int) -> Ledger:
    return (epoch + 1, 1, *ledger[2:]) if ledger[0] == epoch else ledger


def begin_rebuild(c: Scope, rows: Rows, ledger: Ledger) -> tuple[Rows, Ledger]:
    """epoch + 1, frozen; HELD rows get more time."""
    extended = tuple(
        (*row[:3], 0, row[4], row[5] + c.v) if row and row[0] == HELD and row[3] else row
        for row in rows
    )
    return extended, (ledger[0] + 1, 1, *ledger[2:])


def unfreeze(ledger: Ledger, epoch: int) -> Ledger:
    return (ledger[0], 0, *ledger[2:]) if ledger[0] == epoch else ledger


def release(c: Scope, rows: Rows, ledger: Ledger, rid: int, reason: int) -> tuple[Rows, Ledger]:
    """HELD → RELEASED; the caller has seen that the row is HELD (and due, if it expires)."""
    row = rows[rid]
    after = put(rows, rid, (reason, row[1], 0, 0, 0, row[5] + c.v))
    return after, (*ledger[:3], ledger[3] - 1, *ledger[4:])


def mark_synced(rows: Rows, rid: int, state: int) -> Rows:
    row = rows[rid]
    return put(rows, rid, (row[0], row[1], 1, *row[3:])) if row and row[0] == state else rows


def begin_payment(c: Scope, rows: Rows, rid: int) -> tuple[Rows, int]:
    """HELD → PAYING, attempt + 1; answers the attempt."""
    row = rows[rid]
    attempt = row[4] + 1
    return put(rows, rid, (PAYING, row[1], row[2], row[3], attempt, row[5] + c.v)), attempt


def owns(c: Scope, row: Any, attempt: int) -> bool:
    """Whether a CAS out of PAYING in the name of `attempt` finds its row."""
    return row[0] == PAYING and (row[4] == attempt or not c.rules.attempt_in_cas)


def capture(c: Scope, rows: Rows, ledger: Ledger, rid: int) -> tuple[Rows, Ledger]:
    row = rows[rid]
    after = put(rows, rid, (PAID, row[1], 0, 0, row[4], row[5] + c.v))
    return after, (*ledger[:4], ledger[4] + 1, ledger[5])


def refuse(c: Scope, rows: Rows, ledger: Ledger, rid: int) -> tuple[Rows, Ledger, bool]:
    """PAYING → HELD, or → RELEASED (third answer True) past pay_by or at the last attempt. A frozen
    sale releases nothing: there the hold goes back to HELD, ripe for the sweep."""
    row = rows[rid]
    over = int(row[3] or row[4] >= c.attempts)
    if over and not ledger[1]:
        return (*release(c, rows, ledger, rid, EXPIRED), True)
    return put(rows, rid, (HELD, *row[1:3], over, row[4], row[5] + c.v)), ledger, False


def raise_stock(ledger: Ledger, stock: int) -> Ledger:
    return (*ledger[:2], stock, *ledger[3:])


def lower_stock(ledger: Ledger, stock: int) -> Ledger | None:
    """epoch + 1 with it: the rebuild follows. None if more are granted."""
    return (ledger[0] + 1, ledger[1], stock, *ledger[3:]) if ledger[3] <= stock else None


def set_phase(ledger: Ledger, phase: int) -> Ledger:
    return (*ledger[:5], phase)


def may_settle(rows: Rows) -> bool:
    """Nothing HELD, PAYING or unsynced."""
    return all(not row or (row[0] in (PAID, EXPIRED, DECLINED) and row[2]) for row in rows)
