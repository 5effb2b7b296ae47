"""What may go wrong between any two steps, each as often as the budget of the scope allows."""

from tests.model.jobs import CONSUME, REBUILD, Step
from tests.model.state import (
    CRASH,
    DUP,
    FAILOVER,
    FAULT,
    LOSS,
    RESTART,
    Scope,
    State,
    put,
    spend,
    swap,
)


def faults(c: Scope, state: State, out: list[Step]) -> None:
    redis, rows, ledger, money, queue, jobs, budget, backup, world = state
    for at, job in enumerate(jobs):
        if at and jobs[at - 1] == job:
            continue
        if budget[CRASH]:
            again = queue
            if job[0] == CONSUME:  # unacknowledged: delivered again
                again = put(queue, job[2], queue[job[2]] + 1)
            left = spend(budget, CRASH)
            step = (redis, rows, ledger, money, again, swap(jobs, at), left, backup, world)
            out.append((FAULT, ("CRASH", job if job[0] != REBUILD else job[:3]), None, step))
        if budget[DUP] and job[0] == CONSUME:
            again = put(queue, job[2], queue[job[2]] + 1)
            left = spend(budget, DUP)
            step = (redis, rows, ledger, money, again, jobs, left, backup, world)
            out.append((FAULT, ("TAKEN OVER (delivered twice)", job[2]), None, step))
    if budget[LOSS] and (redis[0] or redis[4]):
        left = spend(budget, LOSS)
        step = (c.empty, rows, ledger, money, queue, jobs, left, backup, world)
        out.append((FAULT, ("REDIS LOSES EVERYTHING",), None, step))
    if budget[RESTART] and redis[1]:
        left = spend(budget, RESTART)
        again_up = (redis[0], 0, *redis[2:])
        step = (again_up, rows, ledger, money, queue, jobs, left, backup, world)
        out.append((FAULT, ("REDIS RESTARTS, nothing lost",), None, step))
    if budget[FAILOVER]:
        if not backup:
            step = (redis, rows, ledger, money, queue, jobs, budget, redis, world)
            out.append((FAULT, ("(the replica stops following here)",), None, step))
        elif backup != redis:
            left = spend(budget, FAILOVER)
            old = (backup[0], 0, *backup[2:])
            step = (old, rows, ledger, money, queue, jobs, left, 0, world)
            out.append(
                (FAULT, ("FAILOVER: Redis is as it was when the replica stopped",), None, step)
            )
