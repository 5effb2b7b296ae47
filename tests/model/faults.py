"""Faults: what may go wrong between any two steps, each as often as the scope's budget allows."""

from msgspec.structs import replace

from tests.model.jobs import Consume, swap
from tests.model.scope import Scope
from tests.model.state import (
    CRASH,
    DUP,
    FAILOVER,
    FAULT,
    LOSS,
    RESTART,
    Job,
    State,
    Step,
    put,
    spend,
)


def faults(c: Scope, state: State, out: list[Step]) -> None:
    for at, job in enumerate(state.jobs):
        if at and state.jobs[at - 1] == job:
            continue
        if state.budget[CRASH]:
            out.append(_crash(state, at, job))
        if state.budget[DUP] and isinstance(job, Consume):
            after = replace(state, queue=_again(state, job), budget=spend(state.budget, DUP))
            out.append(Step(FAULT, ("TAKEN OVER (delivered twice)", job.batch), after))
    _redis(c, state, out)


def _again(state: State, job: Consume) -> tuple[int, ...]:
    """The queue with one more delivery of the job's batch."""
    return put(state.queue, job.batch, state.queue[job.batch] + 1)


def _crash(state: State, at: int, job: Job) -> Step:
    """The job is gone; a batch that was in its hand is delivered again."""
    queue = _again(state, job) if isinstance(job, Consume) else state.queue
    after = replace(
        state, queue=queue, jobs=swap(state.jobs, at), budget=spend(state.budget, CRASH)
    )
    return Step(FAULT, ("CRASH", job), after)


def _redis(c: Scope, state: State, out: list[Step]) -> None:
    """Redis forgets all of a sale, nothing, or what its replica did not get."""
    redis, budget, backup = state.redis, state.budget, state.backup
    if budget[LOSS] and (redis.epoch or redis.begun):
        after = replace(state, redis=c.empty, budget=spend(budget, LOSS))
        out.append(Step(FAULT, ("REDIS LOSES EVERYTHING",), after))
    if budget[RESTART] and redis.genuine:
        restarted = replace(redis, genuine=0)
        after = replace(state, redis=restarted, budget=spend(budget, RESTART))
        out.append(Step(FAULT, ("REDIS RESTARTS, nothing lost",), after))
    if budget[FAILOVER]:
        if not backup:
            after = replace(state, backup=redis)
            out.append(Step(FAULT, ("(the replica stops following here)",), after))
        elif backup != redis:
            old = replace(backup, genuine=0)
            after = replace(state, redis=old, budget=spend(budget, FAILOVER), backup=None)
            label = "FAILOVER: Redis is as it was when the replica stopped"
            out.append(Step(FAULT, (label,), after))
