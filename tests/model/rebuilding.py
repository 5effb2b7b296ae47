"""The rebuild as a machine of steps, in the order of `usecases/rebuild.py`.

    begin_rebuild (SQL: epoch + 1) → read → begin_rebuild (Redis: epoch away) → marker → merge a
    chunk → merge the rest → finish → replay, batch by batch → promote → phase → unfreeze

A refusal anywhere ends it; `frozen` stays, so that the scheduler begins again. The lease is the
rule that a second one starts only while the first is alive if the budget `second` allows it.
"""

from typing import Any

from msgspec.structs import replace

from tests.model import redis_steps as redis_
from tests.model import sql_steps as sql
from tests.model.consuming import named
from tests.model.jobs import Rebuild, add, kinds, swap
from tests.model.scope import Scope
from tests.model.state import (
    EPOCH,
    FAULT,
    MUST,
    OK,
    RUN_ID,
    SECOND,
    SETTLED,
    SPURIOUS,
    Redis,
    Rows,
    State,
    Step,
    spend,
)

EARLY, READ, BEGIN, MARK, MERGE, MERGE_REST, FINISH, REPLAY, PROMOTE, PHASE, UNFREEZE = range(11)


def start(c: Scope, state: State, out: list[Step]) -> None:
    """A rebuild begins: Redis is not what the ledger says, or it is frozen, or (a fault) for
    no reason at all, or while another one is still at it."""
    redis, ledger, budget = state.redis, state.ledger, state.budget
    if ledger.phase == SETTLED:
        return
    busy = Rebuild in kinds(state.jobs)
    refusal = redis_.guard(c, redis, ledger.epoch)
    lost = refusal in (EPOCH, RUN_ID) or redis.epoch != ledger.epoch
    if ledger.frozen or lost:
        if not busy:
            out.append(Step(MUST, ("rebuild", "begin_rebuild (SQL)"), _bump(c, state)))
        elif budget[SECOND]:
            after = replace(_bump(c, state), budget=spend(budget, SECOND))
            out.append(Step(FAULT, ("SECOND rebuild", "begins"), after))
    elif budget[SPURIOUS] and not busy:
        after = replace(_bump(c, state), budget=spend(budget, SPURIOUS))
        out.append(Step(FAULT, ("FALSE ALARM", "begin_rebuild (SQL)"), after))


def _bump(c: Scope, state: State) -> State:
    """The state once a rebuild is begun in SQL, or before it if the epoch is bumped late."""
    rows, ledger = state.rows, state.ledger
    if not c.rules.bump_first:
        early = Rebuild(EARLY, 0, 0, ledger.stock, ledger.phase, rows)
        return replace(state, jobs=add(state.jobs, early))
    rows, ledger = sql.begin_rebuild(c, rows, ledger)
    marker = 0 if c.rules.marker_late else state.published
    job = Rebuild(READ, ledger.epoch, marker, ledger.stock, ledger.phase)
    return replace(state, rows=rows, ledger=ledger, jobs=add(state.jobs, job))


def run(c: Scope, state: State, at: int, job: Rebuild, out: list[Step]) -> None:
    """The next step of a rebuild."""
    label: Any
    then: Rebuild | None
    epoch = job.epoch
    if job.pc == EARLY:
        rows, ledger = sql.begin_rebuild(c, state.rows, state.ledger)
        state, epoch, label = replace(state, rows=rows, ledger=ledger), ledger.epoch, "bump late"
        then = replace(job, pc=BEGIN, epoch=epoch)
    elif job.pc == READ:
        then, label = replace(job, pc=BEGIN, snapshot=state.rows), "read SQL"
    elif job.pc == MARK:
        marker = state.published if c.rules.marker_late else job.marker
        then, label = replace(job, pc=MERGE, marker=marker), "publish marker"
    elif job.pc == UNFREEZE:
        state = replace(state, ledger=sql.unfreeze(state.ledger, epoch))
        then, label = None, "unfreeze"
    else:
        redis, then, label = _write(c, state, job)
        state = replace(state, redis=redis)
    after = replace(state, jobs=swap(state.jobs, at, then))
    out.append(Step(MUST, ("rebuild", epoch, label), after))


def _write(c: Scope, state: State, job: Rebuild) -> tuple[Redis, Rebuild | None, Any]:
    """One step on Redis: (redis, the job after or None if it was refused, label)."""
    redis, epoch, rows = state.redis, job.epoch, job.snapshot
    half = (c.users + 1) // 2
    written: Redis | None
    if job.pc == BEGIN:
        written, label = redis_.begin_rebuild(c, redis, epoch), "begin_rebuild"
    elif job.pc == MERGE:
        written = redis_.merge_places(c, redis, epoch, range(half), rows)
        label = "merge_places"
    elif job.pc == MERGE_REST:
        written = redis_.merge_places(c, redis, epoch, range(half, c.users), rows)
        label = "merge_places"
    elif job.pc == FINISH:
        written, label = redis_.finish_rebuild(c, redis, epoch, job.stock, rows), "finish_rebuild"
    elif job.pc == REPLAY:
        return _replay(c, state, job)
    elif job.pc == PROMOTE:
        refusal, written, _ = redis_.promote(c, redis, epoch, rebuilder=epoch)
        if not c.rules.rebuild_promotes:
            refusal, written = OK, redis
        written, label = None if refusal else written, "promote"
    else:
        refusal, written, _ = redis_.set_phase(c, redis, epoch, job.phase, rebuilder=epoch)
        written, label = None if refusal else written, "set_phase"
    if written is None:
        return redis, None, f"{label}: superseded"
    return written, replace(job, pc=job.pc + 1), label


def _replay(c: Scope, state: State, job: Rebuild) -> tuple[Redis, Rebuild | None, Any]:
    """Decide the next batch of the log without a record (one with a record only repeats it)."""
    batches = range(job.marker) if c.rules.replay else ()
    batch = next((b for b in batches if not state.redis.batches[b]), None)
    if batch is None:
        return state.redis, replace(job, pc=PROMOTE), "replayed"
    answered = _answered(c, batch, job.snapshot) if c.rules.answered else ()
    late = batch >= state.in_time
    refusal, redis, letters = redis_.decide(
        c, state.redis, job.epoch, batch, late, job.epoch, answered
    )
    return redis, None if refusal else job, ("replay decide", batch, named(letters))


def _answered(c: Scope, batch: int, rows: Rows) -> tuple[int, ...]:
    """Indices whose rid has a row, or that are older than their user's newest row."""
    found = []
    for index, user in enumerate(c.batches[batch]):
        ranked = [(row.rank, rid) for rid in c.rids_of[user] if (row := rows[rid])]
        newest = max(ranked)[1] if ranked else None
        overtaken = newest is not None and batch <= c.batch_of[newest]
        if overtaken or rows[c.first[batch] + index]:
            found.append(index)
    return tuple(found)
