"""Scheduler, checkout, buyer and admin as machines of steps; the consumer is in consuming.py.

A job is what one process has in hand between two steps: (kind, pc, …). Between any two steps
everything else may happen, and faults.py may end the job. Time outs ("older than a few seconds",
"stale") have no clock here: the scheduler may act at any moment, because a slow process is not a
dead one.
"""

from typing import Any

from tests.model import redis_steps as redis_
from tests.model import sql_steps as sql
from tests.model.consuming import consuming
from tests.model.jobs import (
    CHARGING,
    CHECKOUT,
    CONCLUDING,
    CONSUME,
    GRANT,
    GRANTING,
    REBUILD,
    SETTLE,
    SYNCING,
    TELL,
    TELLING,
    TOLD_PHASE,
    TOLD_STOCK,
    Job,
    Step,
)
from tests.model.state import (
    CHARGED,
    CHOICE,
    DECLINE,
    DECLINED,
    EXPIRED,
    HELD,
    LEAVE,
    MONEY,
    MUST,
    OPEN,
    OPEN_END,
    PAID,
    PAUSE,
    PAUSED,
    PAY,
    PAYING,
    REFUNDED,
    REFUSALS,
    REFUSED,
    RESIZE,
    SETTLED,
    STANDBY,
    TIME,
    UNSEEN,
    VOIDED,
    Scope,
    State,
    add,
    put,
    spend,
    swap,
)


def telling(c: Scope, state: State, at: int, job: Job, out: list[Step]) -> None:
    """An ending committed in SQL: release or settle in Redis, then synced."""
    redis, rows, ledger, money, queue, jobs, budget, backup, world = state
    _, pc, epoch, rid, ended = job
    if pc == SYNCING:
        after = sql.mark_synced(rows, rid, ended)
        step = (redis, after, ledger, money, queue, swap(jobs, at), budget, backup, world)
        out.append((MUST, ("synced", rid), None, step))
        return
    version = rows[rid][5]
    if ended == PAID:
        refusal, redis, _ = redis_.settle(c, redis, epoch, rid, version)
    else:
        refusal, redis, _ = redis_.release(c, redis, epoch, rid, ended, version)
    more = swap(jobs, at, None if refusal else (TELL, SYNCING, epoch, rid, ended))
    label = ("settle" if ended == PAID else "release", rid, REFUSALS[refusal])
    step = (redis, rows, ledger, money, queue, more, budget, backup, world)
    out.append((MUST, label, None, step))


def checkout(c: Scope, state: State, at: int, job: Job, out: list[Step]) -> None:
    """charge → capture or refuse. The scheduler's stale settlement joins at the second step."""
    redis, rows, ledger, money, queue, jobs, budget, backup, world = state
    _, pc, rid, attempt, result = job
    key = attempt - 1 if c.rules.attempt_in_cas else 0
    if pc == CHARGING:
        seen = money[rid][key]
        for answer in (CHARGED, REFUSED) if seen == UNSEEN else (seen,):
            wrong = "a new attempt replays an old answer" if seen and attempt - 1 != key else None
            known = put(money, rid, put(money[rid], key, answer))
            more = swap(jobs, at, (CHECKOUT, CONCLUDING, rid, attempt, answer))
            step = (redis, rows, ledger, known, queue, more, budget, backup, world)
            out.append((MUST, ("checkout", rid, attempt, "charge", MONEY[answer]), wrong, step))
        return
    row = rows[rid]
    mine = sql.owns(c, row, attempt)
    wrong = "unpinned by another attempt" if mine and row[4] != attempt else None
    next_job: Job | None = None
    if result in (CHARGED, REFUNDED):
        label: Any = ("checkout", rid, attempt, "capture")
        if mine:
            rows, ledger = sql.capture(c, rows, ledger, rid)
            next_job = (TELL, TELLING, ledger[0], rid, PAID)
        elif not (row[0] == PAID and row[4] == attempt):
            label = ("checkout", rid, attempt, "late money goes back")
            money = put(money, rid, put(money[rid], key, REFUNDED))
    else:
        label = ("checkout", rid, attempt, "refuse", int(mine))
        if mine:
            rows, ledger, released = sql.refuse(c, rows, ledger, rid)
            next_job = (TELL, TELLING, ledger[0], rid, EXPIRED) if released else None
    step = (redis, rows, ledger, money, queue, swap(jobs, at, next_job), budget, backup, world)
    out.append((MUST, label, wrong, step))


def telling_terms(c: Scope, state: State, at: int, job: Job, out: list[Step]) -> None:
    """A raised stock, or a phase, told to Redis after SQL."""
    redis, rows, ledger, money, queue, jobs, budget, backup, world = state
    kind, _, epoch, value = job
    tell = redis_.resize if kind == TOLD_STOCK else redis_.set_phase
    refusal, redis, _ = tell(c, redis, epoch, value)
    step = (redis, rows, ledger, money, queue, swap(jobs, at), budget, backup, world)
    name = "resize" if kind == TOLD_STOCK else "set_phase"
    out.append((MUST, (name, value, REFUSALS[refusal]), None, step))


def settling(c: Scope, state: State, at: int, job: Job, out: list[Step]) -> None:
    """The sale is drained: settled in SQL, then dropped from Redis."""
    redis, rows, ledger, money, queue, jobs, budget, backup, world = state
    _, pc, epoch = job
    more = swap(jobs, at)
    label = ("scheduler", "settle refused")
    if pc == 1 and sql.may_settle(rows) and ledger[1] == 0:
        ledger, more = sql.set_phase(ledger, SETTLED), swap(jobs, at, (SETTLE, 2, epoch))
        label = ("scheduler", "settle the sale")
    elif pc == 2:
        redis = c.empty if max(redis[0], redis[4]) <= epoch else redis
        label = ("scheduler", "drop")
    step = (redis, rows, ledger, money, queue, more, budget, backup, world)
    out.append((MUST, label, None, step))


RUN = {
    CONSUME: consuming,
    GRANT: consuming,
    TELL: telling,
    CHECKOUT: checkout,
    TOLD_STOCK: telling_terms,
    TOLD_PHASE: telling_terms,
    SETTLE: settling,
}


def buyer(c: Scope, state: State, out: list[Step]) -> None:
    """Time passes, and buyers pay, decline, leave, press."""
    redis, rows, ledger, money, queue, jobs, budget, backup, world = state
    for rid, row in enumerate(rows):
        if not row or row[0] > PAYING:
            continue
        if c.expire and not row[3]:
            due = put(rows, rid, (*row[:3], 1, *row[4:]))
            step = (redis, due, ledger, money, queue, jobs, budget, backup, world)
            out.append((TIME, ("pay_by passes", rid), None, step))
        if row[0] == HELD and budget[PAY] and row[4] < c.attempts:
            pinned, attempt = sql.begin_payment(c, rows, rid)
            more = add(jobs, (CHECKOUT, CHARGING, rid, attempt, 0))
            left = spend(budget, PAY)
            step = (redis, pinned, ledger, money, queue, more, left, backup, world)
            out.append((CHOICE, ("checkout", rid, attempt, "begin_payment"), None, step))
        if row[0] == HELD and budget[DECLINE] and not ledger[1]:
            gone, counted = sql.release(c, rows, ledger, rid, DECLINED)
            more = add(jobs, (TELL, TELLING, ledger[0], rid, DECLINED))
            left = spend(budget, DECLINE)
            step = (redis, gone, counted, money, queue, more, left, backup, world)
            out.append((CHOICE, ("buyer declines", rid), None, step))
    if budget[LEAVE]:
        for user, place in enumerate(redis[10]):
            if not place or place[0] != STANDBY:
                continue
            refusal, after, _ = redis_.leave(c, redis, redis[0], user)
            if not refusal:
                left = spend(budget, LEAVE)
                step = (after, rows, ledger, money, queue, jobs, left, backup, world)
                out.append((CHOICE, ("buyer leaves", user), None, step))
    if world[0] < len(c.batches):
        more_queue, log = put(queue, world[0], 1), (world[0] + 1, world[1])
        step = (redis, rows, ledger, money, more_queue, jobs, budget, backup, log)
        out.append((CHOICE, ("publish", world[0]), None, step))
    if c.close and world[1] == OPEN_END:
        log = (world[0], world[0])
        step = (redis, rows, ledger, money, queue, jobs, budget, backup, log)
        out.append((CHOICE, ("the sale closes",), None, step))


def scheduler(c: Scope, state: State, out: list[Step]) -> None:
    """Whatever the scheduler finds to do; it never has more than `workers` jobs in hand."""
    redis, rows, ledger, money, queue, jobs, budget, backup, world = state
    if sum(1 for job in jobs if job[0] not in (CONSUME, REBUILD)) >= c.workers:
        return

    def take(label: Any, job: Job, **new: Any) -> None:
        step = (redis, new.get("rows", rows), new.get("ledger", ledger), new.get("money", money))
        more = (queue, add(jobs, job), budget, backup, world)
        out.append((MUST, ("scheduler", *label), None, (*step, *more)))

    frozen = ledger[1] or ledger[5] == SETTLED
    if ledger[5] == SETTLED and (redis[0] or redis[4]):
        take(("forgets a settled sale",), (SETTLE, 2, max(redis[0], redis[4])))
    for rid, row in enumerate(rows):
        if not row:
            continue
        if row[0] == HELD and row[3] and not frozen:
            gone, counted = sql.release(c, rows, ledger, rid, EXPIRED)
            job: Job = (TELL, TELLING, ledger[0], rid, EXPIRED)
            take(("sweep", rid), job, rows=gone, ledger=counted)
        elif row[0] > PAYING and not row[2] and not frozen and c.rules.finish_unsynced:
            if redis[0] == ledger[0]:  # else refused; a rebuild comes first
                take(("finishes unsynced", rid), (TELL, TELLING, ledger[0], rid, row[0]))
        elif row[0] == PAYING:
            key = row[4] - 1 if c.rules.attempt_in_cas else 0
            answer = money[rid][key]
            known = money
            if answer == UNSEEN and c.rules.void:
                answer = VOIDED
                known = put(money, rid, put(money[rid], key, VOIDED))
            job = (CHECKOUT, CONCLUDING, rid, row[4], answer)
            take(("void", rid, row[4], MONEY[answer]), job, money=known)
    if frozen or redis_.guard(c, redis, redis[0]):
        return
    for rid in redis[11]:  # under the epoch it is read with, which may be older than the ledger's
        place = redis[10][c.user_of[rid]]
        winner = (rid, place[2], place[3])
        take(("sees ungranted", rid), (GRANT, GRANTING, 0, redis[0], (winner,)))
    if redis[0] != ledger[0]:
        return
    if c.rules.catch_up:
        if redis[2] != ledger[5] and redis[2] <= PAUSED:
            take(("phase differs",), (TOLD_PHASE, 1, ledger[0], ledger[5]))
        if redis[5] < ledger[2] and redis[2] <= PAUSED:
            take(("stock differs",), (TOLD_STOCK, 1, ledger[0], ledger[2]))
    if c.settle and world[1] != OPEN_END and not redis[7]:
        waiting = any(queue) or any(job[0] == CONSUME for job in jobs)
        if not waiting and not redis[11] and not any(job[0] == SETTLE for job in jobs):
            take(("finds it drained",), (SETTLE, 1, ledger[0]))


def admin(c: Scope, state: State, out: list[Step]) -> None:
    """Stock and pause; resuming is only a matter of time."""
    redis, rows, ledger, money, queue, jobs, budget, backup, world = state

    def did(who: int, label: Any, counted: Any, more: Any, left: Any) -> None:
        step = (redis, rows, counted, money, queue, more, left, backup, world)
        out.append((who, ("admin", *label), None, step))

    if budget[RESIZE] and world[1] == OPEN_END:
        stock = c.resize[len(c.resize) - budget[RESIZE]]
        left = spend(budget, RESIZE)
        if stock > ledger[2]:
            counted = sql.raise_stock(ledger, stock)
            more = add(jobs, (TOLD_STOCK, 1, ledger[0], stock))
            did(CHOICE, ("raise_stock", stock), counted, more, left)
        elif lowered := sql.lower_stock(ledger, stock):
            did(CHOICE, ("lower_stock", stock), lowered, jobs, left)
    if budget[PAUSE] and ledger[5] == OPEN:
        counted = sql.set_phase(ledger, PAUSED)
        more = add(jobs, (TOLD_PHASE, 1, ledger[0], PAUSED))
        did(CHOICE, ("pause",), counted, more, spend(budget, PAUSE))
    if ledger[5] == PAUSED:
        counted = sql.set_phase(ledger, OPEN)
        more = add(jobs, (TOLD_PHASE, 1, ledger[0], OPEN))
        did(TIME, ("resume",), counted, more, budget)
