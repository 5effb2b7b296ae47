"""The consumer: decide → grant → granted → release again → ack; also for left-over grants.

A consumer's cached epoch may be any the ledger ever had, hence also the one Redis has.
"""

from typing import Any

from tests.model import redis_steps as redis_
from tests.model import sql_steps as sql
from tests.model.jobs import ACKING, CONSUME, GRANTED, GRANTING, RELEASING, Job, Step
from tests.model.state import (
    HELD,
    LETTERS,
    MUST,
    PAID,
    REFUSALS,
    SETTLED,
    STOCK,
    USER,
    C,
    H,
    S,
    Scope,
    State,
    add,
    put,
    swap,
)


def consumer(c: Scope, state: State, out: list[Step]) -> None:
    """Takes a waiting batch and decides it, all in one step of Redis."""
    redis, rows, ledger, money, queue, jobs, budget, backup, world = state
    if sum(1 for job in jobs if job[0] == CONSUME) >= c.consumers:
        return
    for batch, copies in enumerate(queue):
        if not copies:
            continue
        taken = put(queue, batch, copies - 1)
        if ledger[5] == SETTLED:
            over = (redis, rows, ledger, money, taken, jobs, budget, backup, world)
            out.append((MUST, ("consumer", batch, "sale is over: closed, ack"), None, over))
            continue
        late = batch >= world[1]
        refusal, after, letters = redis_.decide(c, redis, redis[0], batch, late)
        if refusal:
            continue
        wrong = None
        if not late and C in letters:
            wrong = "told closed though accepted in time"
        winners = _winners(c, batch, letters, after[10])
        job: Job = (CONSUME, GRANTING, batch, redis[0], winners)
        if not winners:
            job = (CONSUME, ACKING, batch)
        label = ("consumer", batch, "decide", named(letters))
        more = add(jobs, job)
        step = (after, rows, ledger, money, taken, more, budget, backup, world)
        out.append((MUST, label, wrong, step))


def named(letters: tuple[int, ...]) -> str:
    return "".join(LETTERS[letter] for letter in letters)


def _winners(
    c: Scope, batch: int, letters: tuple[int, ...], users: tuple[Any, ...]
) -> tuple[tuple[int, int, int], ...]:
    """Held places that these very requests won; everything else is told, never granted."""
    won = []
    for index, user in enumerate(c.batches[batch]):
        place, rid = users[user], c.first[batch] + index
        if letters[index] in (H, S) and place and place[:2] == (HELD, rid):
            won.append((rid, place[2], place[3]))
    return tuple(won)


def consuming(c: Scope, state: State, at: int, job: Job, out: list[Step]) -> None:
    """grant → granted → release again → ack; the scheduler's left-over grants do the same."""
    redis, rows, ledger, money, queue, jobs, budget, backup, world = state
    kind, pc, batch = job[:3]
    who = ("consumer", batch) if kind == CONSUME else ("scheduler", "left over")
    if pc == GRANTING:
        out.append(_grant(c, state, at, job, who))
    elif pc == GRANTED:
        for rid in job[4]:
            version = rows[rid][5]
            _, redis, _ = redis_.granted(c, redis, job[3], rid, version)
        after: Job | None = (kind, ACKING, batch) if kind == CONSUME else None
        if job[5]:
            after = (kind, RELEASING, batch, job[3], job[5])
        told = swap(jobs, at, after)
        step = (redis, rows, ledger, money, queue, told, budget, backup, world)
        out.append((MUST, (*who, "granted", job[4]), None, step))
    elif pc == RELEASING:
        refusal = 0
        for rid in job[4]:
            row = rows[rid]
            refusal, redis, _ = redis_.release(c, redis, job[3], rid, row[0], row[5])
        told = swap(jobs, at, (kind, ACKING, batch) if kind == CONSUME else None)
        step = (redis, rows, ledger, money, queue, told, budget, backup, world)
        out.append((MUST, (*who, "release again", job[4], REFUSALS[refusal]), None, step))
    else:
        step = (redis, rows, ledger, money, queue, swap(jobs, at), budget, backup, world)
        out.append((MUST, (*who, "ack"), None, step))


def _grant(c: Scope, state: State, at: int, job: Job, who: tuple[Any, ...]) -> Step:
    redis, rows, ledger, money, queue, jobs, budget, backup, world = state
    kind, _, batch, epoch, winners = job
    refusal, after, counted = sql.grant(c, rows, ledger, epoch, winners)
    wrong = None
    if refusal:
        if refusal in (STOCK, USER):
            counted = sql.freeze(ledger, epoch)
            wrong = None if c.lossy else f"grant refused ({REFUSALS[refusal]}) without a loss"
        if kind == CONSUME:  # decides again
            queue = put(queue, batch, queue[batch] + 1)
        step = (redis, rows, counted, money, queue, swap(jobs, at), budget, backup, world)
        return MUST, (*who, "grant refused", REFUSALS[refusal]), wrong, step
    live = tuple(w[0] for w in winners if after[w[0]] and after[w[0]][0] <= PAID)
    gone = tuple(w[0] for w in winners if after[w[0]] and after[w[0]][0] > PAID)
    if not c.rules.read_back and len(live) < len(winners):
        wrong = "told held without a live hold"
    more = swap(jobs, at, (kind, GRANTED, batch, epoch, live, gone))
    step = (redis, after, counted, money, queue, more, budget, backup, world)
    return MUST, (*who, "grant and tell", tuple(w[0] for w in winners)), wrong, step
