"""The rebuild as a machine of steps, in the order of `usecases/rebuild.py`.

    begin_rebuild (SQL: epoch + 1) → read → begin_rebuild (Redis: epoch away) → marker → merge a
    chunk → merge the rest → finish → replay, batch by batch → promote → phase → unfreeze

A refusal anywhere ends it; `frozen` stays, so that the scheduler begins again. The lease is the
rule that a second one starts only while the first is alive if the budget `second` allows it.
"""

from typing import Any

from tests.model import redis_steps as redis_
from tests.model import sql_steps as sql
from tests.model.consuming import named
from tests.model.jobs import REBUILD, Job, Step
from tests.model.state import (
    EPOCH,
    FAULT,
    MUST,
    OK,
    RUN_ID,
    SECOND,
    SETTLED,
    SPURIOUS,
    Scope,
    State,
    add,
    spend,
    swap,
)

EARLY, READ, BEGIN, MARK, MERGE, MERGE_REST, FINISH, REPLAY, PROMOTE, PHASE, UNFREEZE = range(11)


def start(c: Scope, state: State, out: list[Step]) -> None:
    """A rebuild begins: Redis is not what the ledger says, or it is frozen, or (a fault) for
    no reason at all, or while another one is still at it."""
    redis, _, ledger, _, _, jobs, budget, _, _ = state
    if ledger[5] == SETTLED:
        return
    busy = sum(1 for job in jobs if job[0] == REBUILD)
    lost = redis_.guard(c, redis, ledger[0]) in (EPOCH, RUN_ID) or redis[0] != ledger[0]
    if ledger[1] or lost:
        if not busy:
            out.append((MUST, ("rebuild", "begin_rebuild (SQL)"), None, _bump(c, state, budget)))
        elif budget[SECOND]:
            left = spend(budget, SECOND)
            out.append((FAULT, ("SECOND rebuild", "begins"), None, _bump(c, state, left)))
    elif budget[SPURIOUS] and not busy:
        left = spend(budget, SPURIOUS)
        out.append((FAULT, ("FALSE ALARM", "begin_rebuild (SQL)"), None, _bump(c, state, left)))


def _bump(c: Scope, state: State, budget: tuple[int, ...]) -> State:
    redis, rows, ledger, money, queue, jobs, _, backup, world = state
    if not c.rules.bump_first:
        job: Job = (REBUILD, EARLY, 0, 0, ledger[2], ledger[5], rows)
        return (redis, rows, ledger, money, queue, add(jobs, job), budget, backup, world)
    rows, ledger = sql.begin_rebuild(c, rows, ledger)
    marker = 0 if c.rules.marker_late else world[0]
    job = (REBUILD, READ, ledger[0], marker, ledger[2], ledger[5], ())
    return (redis, rows, ledger, money, queue, add(jobs, job), budget, backup, world)


def run(c: Scope, state: State, at: int, job: Job, out: list[Step]) -> None:
    redis, rows, ledger, money, queue, jobs, budget, backup, world = state
    _, pc, epoch, marker, stock, phase, snapshot = job
    if pc in (EARLY, READ):
        if pc == EARLY:
            rows, ledger = sql.begin_rebuild(c, rows, ledger)
            epoch = ledger[0]
        else:
            snapshot = rows
        after: Job | None = (REBUILD, BEGIN, epoch, marker, stock, phase, snapshot)
        label: Any = "bump late" if pc == EARLY else "read SQL"
    elif pc == MARK:
        marker = world[0] if c.rules.marker_late else marker
        after, label = (REBUILD, MERGE, epoch, marker, stock, phase, snapshot), "publish marker"
    elif pc == UNFREEZE:
        ledger, after, label = sql.unfreeze(ledger, epoch), None, "unfreeze"
    else:
        redis, after, label = _write(c, state, job)
    more = swap(jobs, at, after)
    step = (redis, rows, ledger, money, queue, more, budget, backup, world)
    out.append((MUST, ("rebuild", epoch, label), None, step))


def _write(c: Scope, state: State, job: Job) -> tuple[Any, Job | None, Any]:
    """One step on Redis: (redis, the job after or None if it was refused, label)."""
    redis = state[0]
    _, pc, epoch, _, stock, phase, snapshot = job
    after: Job = (REBUILD, pc + 1, *job[2:])
    half = (c.users + 1) // 2
    written: Any
    if pc == BEGIN:
        written, label = redis_.begin_rebuild(c, redis, epoch), "begin_rebuild"
    elif pc == MERGE:
        written = redis_.merge_places(c, redis, epoch, range(half), snapshot)
        label = "merge_places"
    elif pc == MERGE_REST:
        written = redis_.merge_places(c, redis, epoch, range(half, c.users), snapshot)
        label = "merge_places"
    elif pc == FINISH:
        written, label = redis_.finish_rebuild(c, redis, epoch, stock, snapshot), "finish_rebuild"
    elif pc == REPLAY:
        return _replay(c, state, job)
    elif pc == PROMOTE:
        refusal, written, _ = redis_.promote(c, redis, epoch, rebuilder=epoch)
        if not c.rules.rebuild_promotes:
            refusal, written = OK, redis
        written, label = None if refusal else written, "promote"
    else:
        refusal, written, _ = redis_.set_phase(c, redis, epoch, phase, rebuilder=epoch)
        written, label = None if refusal else written, "set_phase"
    if written is None:
        return redis, None, f"{label}: superseded"
    return written, after, label


def _replay(c: Scope, state: State, job: Job) -> tuple[Any, Job | None, Any]:
    """Decide the next batch of the log without a record (a recorded one only answers)."""
    redis, world = state[0], state[8]
    _, _, epoch, marker, _, _, snapshot = job
    done: Job = (REBUILD, PROMOTE, *job[2:])
    todo = (b for b in range(marker) if not redis[12][b]) if c.rules.replay else iter(())
    batch = next(todo, None)
    if batch is None:
        return redis, done, "replayed"
    answered = _answered(c, batch, snapshot) if c.rules.answered else ()
    late = batch >= world[1]
    refusal, redis, letters = redis_.decide(c, redis, epoch, batch, late, epoch, answered)
    label = ("replay decide", batch, named(letters))
    return redis, None if refusal else job, label


def _answered(c: Scope, batch: int, rows: Any) -> tuple[int, ...]:
    """Indices whose rid has a row, or that are older than their user's newest row."""
    found = []
    for index, user in enumerate(c.batches[batch]):
        rid = c.first[batch] + index
        mine = [(rows[other][1], other) for other in c.rids_of[user] if rows[other]]
        newest = max(mine)[1] if mine else None
        if rows[rid] or (newest is not None and batch <= c.batch_of[newest]):
            found.append(index)
    return tuple(found)
