"""Scheduler, checkout, buyer and admin as machines of steps; the consumer is in consuming.py.

A job is what one process has in hand between two steps. Between any two steps everything else may
happen, and faults.py may end the job. Timeouts ("older than a few seconds", "stale") have no clock
here: the scheduler may act at any moment, because a slow process is not a dead one.
"""

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from tests.model import rebuilding
from tests.model import redis_steps as redis_
from tests.model import sql_steps as sql
from tests.model.consuming import consuming
from tests.model.jobs import (
    CHARGING,
    CONCLUDING,
    DROPPING,
    GRANTING,
    SETTLING,
    SYNCING,
    TELLING,
    Checkout,
    Consume,
    LeftOver,
    Rebuild,
    Settle,
    Tell,
    TellPhase,
    TellStock,
    Winner,
    add,
    kinds,
    swap,
)
from tests.model.scope import Scope
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
    Job,
    Money,
    Row,
    State,
    Step,
    put,
    spend,
)


def telling(c: Scope, state: State, at: int, job: Tell, out: list[Step]) -> None:
    """An ending committed in SQL: release or settle in Redis, then synced."""
    rid, jobs = job.rid, state.jobs
    if job.pc == SYNCING:
        rows = sql.mark_synced(state.rows, rid, job.ended)
        after = replace(state, rows=rows, jobs=swap(jobs, at))
        out.append(Step(MUST, ("synced", rid), after))
        return
    row = state.rows[rid]
    assert row
    if job.ended == PAID:
        name = "settle"
        refusal, redis, _ = redis_.settle(c, state.redis, job.epoch, rid, row.version)
    else:
        name = "release"
        refusal, redis, _ = redis_.release(c, state.redis, job.epoch, rid, job.ended, row.version)
    then = None if refusal else replace(job, pc=SYNCING)
    after = replace(state, redis=redis, jobs=swap(jobs, at, then))
    out.append(Step(MUST, (name, rid, REFUSALS[refusal]), after))


def checkout(c: Scope, state: State, at: int, job: Checkout, out: list[Step]) -> None:
    """charge → capture or refuse. The scheduler's settlement of a stale payment joins at the
    second step."""
    if job.pc == CHARGING:
        _charge(c, state, at, job, out)
    else:
        out.append(_conclude(c, state, at, job))


def _charge(c: Scope, state: State, at: int, job: Checkout, out: list[Step]) -> None:
    rid, attempt = job.rid, job.attempt
    key = c.key(attempt)
    seen = state.money[rid][key]
    replays = seen != UNSEEN and key != attempt - 1
    wrong = "a new attempt replays an old answer" if replays else None
    for known in (CHARGED, REFUSED) if seen == UNSEEN else (seen,):
        then = replace(job, pc=CONCLUDING, known=known)
        money = _known(state, rid, key, known)
        after = replace(state, money=money, jobs=swap(state.jobs, at, then))
        out.append(Step(MUST, ("checkout", rid, attempt, "charge", MONEY[known]), after, wrong))


def _known(state: State, rid: int, key: int, known: int) -> Money:
    """What the provider knows, and now also `known` of this key."""
    return put(state.money, rid, put(state.money[rid], key, known))


def _conclude(c: Scope, state: State, at: int, job: Checkout) -> Step:
    rid, attempt, rows, ledger = job.rid, job.attempt, state.rows, state.ledger
    row = rows[rid]
    assert row
    mine = sql.owns(c, row, attempt)
    label: tuple[Any, ...] = ("checkout", rid, attempt)
    then: Job | None = None
    money = state.money
    if job.known in (CHARGED, REFUNDED):
        captured = row.state == PAID and row.attempt == attempt
        label = (*label, "capture" if mine or captured else "late money goes back")
        if mine:
            rows, ledger = sql.capture(c, rows, ledger, rid)
            then = Tell(TELLING, ledger.epoch, rid, PAID)
        elif not captured:
            money = _known(state, rid, c.key(attempt), REFUNDED)
    else:
        label = (*label, "refuse", int(mine))
        if mine:
            rows, ledger, released = sql.refuse(c, rows, ledger, rid)
            then = Tell(TELLING, ledger.epoch, rid, EXPIRED) if released else None
    wrong = "unpinned by another attempt" if mine and row.attempt != attempt else None
    jobs = swap(state.jobs, at, then)
    return Step(
        MUST, label, replace(state, rows=rows, ledger=ledger, money=money, jobs=jobs), wrong
    )


def telling_stock(c: Scope, state: State, at: int, job: TellStock, out: list[Step]) -> None:
    """A raised stock, told to Redis after SQL."""
    refusal, redis, _ = redis_.resize(c, state.redis, job.epoch, job.stock)
    after = replace(state, redis=redis, jobs=swap(state.jobs, at))
    out.append(Step(MUST, ("resize", job.stock, REFUSALS[refusal]), after))


def telling_phase(c: Scope, state: State, at: int, job: TellPhase, out: list[Step]) -> None:
    """A phase, told to Redis after SQL."""
    refusal, redis, _ = redis_.set_phase(c, state.redis, job.epoch, job.phase)
    after = replace(state, redis=redis, jobs=swap(state.jobs, at))
    out.append(Step(MUST, ("set_phase", job.phase, REFUSALS[refusal]), after))


def settling(c: Scope, state: State, at: int, job: Settle, out: list[Step]) -> None:
    """The sale is drained: settled in SQL, then dropped from Redis."""
    redis, ledger = state.redis, state.ledger
    then, label = None, "settle refused"
    if job.pc == DROPPING:
        label = "drop"
        redis = c.empty if max(redis.epoch, redis.begun) <= job.epoch else redis
    elif sql.may_settle(state.rows) and not ledger.frozen:
        label = "settle the sale"
        ledger, then = sql.set_phase(ledger, SETTLED), replace(job, pc=DROPPING)
    after = replace(state, redis=redis, ledger=ledger, jobs=swap(state.jobs, at, then))
    out.append(Step(MUST, ("scheduler", label), after))


RUN: dict[type[Job], Callable[[Scope, State, int, Any, list[Step]], None]] = {
    Consume: consuming,
    LeftOver: consuming,
    Tell: telling,
    Checkout: checkout,
    TellStock: telling_stock,
    TellPhase: telling_phase,
    Rebuild: rebuilding.run,
    Settle: settling,
}


def buyer(c: Scope, state: State, out: list[Step]) -> None:
    """Time passes, and buyers pay, decline, leave, press."""
    for rid, row in enumerate(state.rows):
        if row and row.state <= PAYING:
            _hold(c, state, rid, row, out)
    if state.budget[LEAVE]:
        _leave(c, state, out)
    if state.published < len(c.batches):
        queue = put(state.queue, state.published, 1)
        after = replace(state, queue=queue, published=state.published + 1)
        out.append(Step(CHOICE, ("publish", state.published), after))
    if c.close and state.in_time == OPEN_END:
        after = replace(state, in_time=state.published)
        out.append(Step(CHOICE, ("the sale closes",), after))


def _hold(c: Scope, state: State, rid: int, row: Row, out: list[Step]) -> None:
    """What may happen to a live hold that is not paid."""
    rows, ledger, budget = state.rows, state.ledger, state.budget
    if c.expire and not row.due:
        after = replace(state, rows=put(rows, rid, replace(row, due=1)))
        out.append(Step(TIME, ("pay_by passes", rid), after))
    if row.state != HELD:
        return
    if budget[PAY] and row.attempt < c.attempts:
        pinned, attempt = sql.begin_payment(c, rows, rid)
        jobs = add(state.jobs, Checkout(CHARGING, rid, attempt))
        after = replace(state, rows=pinned, jobs=jobs, budget=spend(budget, PAY))
        out.append(Step(CHOICE, ("checkout", rid, attempt, "begin_payment"), after))
    if budget[DECLINE] and not ledger.frozen:
        ended, counted = sql.release(c, rows, ledger, rid, DECLINED)
        jobs = add(state.jobs, Tell(TELLING, ledger.epoch, rid, DECLINED))
        left = spend(budget, DECLINE)
        after = replace(state, rows=ended, ledger=counted, jobs=jobs, budget=left)
        out.append(Step(CHOICE, ("buyer declines", rid), after))


def _leave(c: Scope, state: State, out: list[Step]) -> None:
    for user, place in enumerate(state.redis.users):
        if not place or place.state != STANDBY:
            continue
        refusal, redis, _ = redis_.leave(c, state.redis, state.redis.epoch, user)
        if not refusal:
            after = replace(state, redis=redis, budget=spend(state.budget, LEAVE))
            out.append(Step(CHOICE, ("buyer leaves", user), after))


def scheduler(c: Scope, state: State, out: list[Step]) -> None:
    """Whatever the scheduler finds to do; it never has more than `workers` jobs in hand."""
    running = kinds(state.jobs)
    if len(running) - running.count(Consume) - running.count(Rebuild) >= c.workers:
        return
    redis, ledger = state.redis, state.ledger
    settled = ledger.phase == SETTLED
    known = max(redis.epoch, redis.begun)
    if settled and known:
        out.append(_takes(state, Settle(DROPPING, known), "forgets a settled sale"))
    for rid, row in enumerate(state.rows):
        if row:
            _sweep(c, state, rid, row, out)
    if ledger.frozen or settled or redis_.guard(c, redis, redis.epoch):
        return
    for rid in redis.ungranted:  # under the epoch it is read with, maybe older than the ledger's
        place = redis.users[c.user_of[rid]]
        assert place
        winners = (Winner(rid, place.rank, place.version),)
        job = LeftOver(GRANTING, 0, redis.epoch, winners)
        out.append(_takes(state, job, "sees ungranted", rid))
    if redis.epoch == ledger.epoch:
        _catch_up(c, state, out)


def _takes(state: State, job: Job, *label: Any, **changes: Any) -> Step:
    """The scheduler begins `job`, with these changes of the state."""
    after = replace(state, jobs=add(state.jobs, job), **changes)
    return Step(MUST, ("scheduler", *label), after)


def _sweep(c: Scope, state: State, rid: int, row: Row, out: list[Step]) -> None:
    """Due holds, endings that Redis may not know, payments that may have been left."""
    ledger = state.ledger
    running = not ledger.frozen and ledger.phase != SETTLED
    if row.state == HELD and row.due and running:
        rows, counted = sql.release(c, state.rows, ledger, rid, EXPIRED)
        job: Job = Tell(TELLING, ledger.epoch, rid, EXPIRED)
        out.append(_takes(state, job, "sweep", rid, rows=rows, ledger=counted))
    elif row.state > PAYING and not row.synced and running and c.rules.finish_unsynced:
        if state.redis.epoch == ledger.epoch:  # else refused; a rebuild comes first
            job = Tell(TELLING, ledger.epoch, rid, row.state)
            out.append(_takes(state, job, "finishes unsynced", rid))
    elif row.state == PAYING:
        key = c.key(row.attempt)
        known, money = state.money[rid][key], state.money
        if known == UNSEEN and c.rules.void:
            known = VOIDED
            money = _known(state, rid, key, VOIDED)
        job = Checkout(CONCLUDING, rid, row.attempt, known)
        out.append(_takes(state, job, "void", rid, row.attempt, MONEY[known], money=money))


def _catch_up(c: Scope, state: State, out: list[Step]) -> None:
    """Terms that Redis has not heard of, and a sale that is drained."""
    redis, ledger = state.redis, state.ledger
    if c.rules.catch_up and redis.phase <= PAUSED:
        if redis.phase != ledger.phase:
            job: Job = TellPhase(ledger.epoch, ledger.phase)
            out.append(_takes(state, job, "phase differs"))
        if redis.stock < ledger.stock:
            job = TellStock(ledger.epoch, ledger.stock)
            out.append(_takes(state, job, "stock differs"))
    if c.settle and state.in_time != OPEN_END and not redis.held:
        running = kinds(state.jobs)
        waits = any(state.queue) or Consume in running or Settle in running
        if not waits and not redis.ungranted:
            out.append(_takes(state, Settle(SETTLING, ledger.epoch), "finds it drained"))


def admin(c: Scope, state: State, out: list[Step]) -> None:
    """Stock and pause; resuming is only a matter of time."""
    if state.budget[RESIZE] and state.in_time == OPEN_END:
        _resize(c, state, out)
    if state.budget[PAUSE] and state.ledger.phase == OPEN:
        after = replace(_phase(state, PAUSED), budget=spend(state.budget, PAUSE))
        out.append(Step(CHOICE, ("admin", "pause"), after))
    if state.ledger.phase == PAUSED:
        out.append(Step(TIME, ("admin", "resume"), _phase(state, OPEN)))


def _resize(c: Scope, state: State, out: list[Step]) -> None:
    ledger, budget = state.ledger, state.budget
    stock = c.resize[len(c.resize) - budget[RESIZE]]
    left = spend(budget, RESIZE)
    if stock > ledger.stock:
        jobs = add(state.jobs, TellStock(ledger.epoch, stock))
        raised = sql.raise_stock(ledger, stock)
        after = replace(state, ledger=raised, jobs=jobs, budget=left)
        out.append(Step(CHOICE, ("admin", "raise_stock", stock), after))
    elif lowered := sql.lower_stock(ledger, stock):
        after = replace(state, ledger=lowered, budget=left)
        out.append(Step(CHOICE, ("admin", "lower_stock", stock), after))


def _phase(state: State, phase: int) -> State:
    """The phase is set in SQL, and Redis is to be told."""
    jobs = add(state.jobs, TellPhase(state.ledger.epoch, phase))
    return replace(state, ledger=sql.set_phase(state.ledger, phase), jobs=jobs)
