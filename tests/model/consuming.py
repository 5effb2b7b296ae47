"""The consumer: decide → grant → granted → release again → ack; also for left-over grants.

A consumer's cached epoch may be any the ledger ever had, hence also the one Redis has.
"""

from typing import Any

from msgspec.structs import replace

from tests.model import redis_steps as redis_
from tests.model import sql_steps as sql
from tests.model.jobs import (
    ACKING,
    GRANTED,
    GRANTING,
    RELEASING,
    Consume,
    Grant,
    Winner,
    add,
    kinds,
    swap,
)
from tests.model.scope import Scope
from tests.model.state import (
    HELD,
    LETTERS,
    MUST,
    OK,
    PAID,
    REFUSALS,
    SETTLED,
    STOCK,
    USER,
    C,
    H,
    Job,
    Redis,
    Row,
    S,
    State,
    Step,
    put,
)


def consumer(c: Scope, state: State, out: list[Step]) -> None:
    """Takes a waiting batch and decides it, all in one step of Redis."""
    redis = state.redis
    if kinds(state.jobs).count(Consume) >= c.consumers:
        return
    for batch, deliveries in enumerate(state.queue):
        if not deliveries:
            continue
        queue = put(state.queue, batch, deliveries - 1)
        if state.ledger.phase == SETTLED:
            label: Any = ("consumer", batch, "sale is over: closed, ack")
            out.append(Step(MUST, label, replace(state, queue=queue)))
            continue
        late = batch >= state.in_time
        refusal, decided, letters = redis_.decide(c, redis, redis.epoch, batch, late)
        if refusal:
            continue
        wrong = "told closed though accepted in time" if C in letters and not late else None
        winners = _winners(c, batch, letters, decided)
        job = Consume(GRANTING, batch, redis.epoch, winners) if winners else Consume(ACKING, batch)
        after = replace(state, redis=decided, queue=queue, jobs=add(state.jobs, job))
        out.append(Step(MUST, ("consumer", batch, "decide", named(letters)), after, wrong))


def named(letters: tuple[int, ...]) -> str:
    return "".join(LETTERS[letter] for letter in letters)


def _winners(c: Scope, batch: int, letters: tuple[int, ...], redis: Redis) -> tuple[Winner, ...]:
    """Held places that these very requests won; everything else is told, never granted."""
    won = []
    for index, user in enumerate(c.batches[batch]):
        place, rid = redis.users[user], c.first[batch] + index
        if letters[index] not in (H, S) or not place:
            continue
        if place.state == HELD and place.rid == rid:
            won.append(Winner(rid, place.rank, place.version))
    return tuple(won)


def consuming(c: Scope, state: State, at: int, job: Grant, out: list[Step]) -> None:
    """grant → granted → release again → ack; the scheduler's left-over grants do the same."""
    who = ("consumer", job.batch) if isinstance(job, Consume) else ("scheduler", "left over")
    if job.pc == GRANTING:
        out.append(_grant(c, state, at, job, who))
    elif job.pc == GRANTED:
        redis = state.redis
        for rid in job.live:
            _, redis, _ = redis_.granted(c, redis, job.epoch, rid, _row(state, rid).version)
        then = replace(job, pc=RELEASING, winners=(), live=()) if job.gone else _finished(job)
        after = replace(state, redis=redis, jobs=swap(state.jobs, at, then))
        out.append(Step(MUST, (*who, "granted", job.live), after))
    elif job.pc == RELEASING:
        refusal, redis = OK, state.redis
        for rid in job.gone:
            row = _row(state, rid)
            refusal, redis, _ = redis_.release(c, redis, job.epoch, rid, row.state, row.version)
        after = replace(state, redis=redis, jobs=swap(state.jobs, at, _finished(job)))
        out.append(Step(MUST, (*who, "release again", job.gone, REFUSALS[refusal]), after))
    else:
        out.append(Step(MUST, (*who, "ack"), replace(state, jobs=swap(state.jobs, at))))


def _finished(job: Grant) -> Job | None:
    """The job once its winners are dealt with: only a batch is acknowledged."""
    return Consume(ACKING, job.batch) if isinstance(job, Consume) else None


def _row(state: State, rid: int) -> Row:
    row = state.rows[rid]
    assert row
    return row


def _grant(c: Scope, state: State, at: int, job: Grant, who: tuple[Any, ...]) -> Step:
    refusal, rows, ledger = sql.grant(c, state.rows, state.ledger, job.epoch, job.winners)
    if refusal:
        return _refused(c, state, at, job, (*who, "grant refused", REFUSALS[refusal]), refusal)
    rids = tuple(winner.rid for winner in job.winners)
    live = tuple(rid for rid in rids if (row := rows[rid]) and row.state <= PAID)
    gone = tuple(rid for rid in rids if (row := rows[rid]) and row.state > PAID)
    misled = not c.rules.read_back and len(live) < len(rids)
    granted = replace(job, pc=GRANTED, winners=(), live=live, gone=gone)
    after = replace(state, rows=rows, ledger=ledger, jobs=swap(state.jobs, at, granted))
    wrong = "told held without a live hold" if misled else None
    return Step(MUST, (*who, "grant and tell", rids), after, wrong)


def _refused(
    c: Scope, state: State, at: int, job: Grant, label: tuple[Any, ...], refusal: int
) -> Step:
    """SQL grants nothing; a batch is decided again."""
    ledger, queue, wrong = state.ledger, state.queue, None
    if refusal in (STOCK, USER):
        ledger = sql.freeze(ledger, job.epoch)
        wrong = None if c.lossy else f"grant refused ({REFUSALS[refusal]}) without a loss"
    if isinstance(job, Consume):
        queue = put(queue, job.batch, queue[job.batch] + 1)
    after = replace(state, ledger=ledger, queue=queue, jobs=swap(state.jobs, at))
    return Step(MUST, label, after, wrong)
