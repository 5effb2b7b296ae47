"""Jobs: what each kind of process has in hand, and its program counters.

The jobs of a state are kept in one order, so that two states with the same jobs are equal.
"""

from typing import ClassVar

from tests.model.state import UNSEEN, Job, Jobs, Record, Rows

GRANTING, GRANTED, RELEASING, ACKING = 1, 2, 3, 4  # Grant
TELLING, SYNCING = 1, 2  # Tell
CHARGING, CONCLUDING = 1, 2  # Checkout
SETTLING, DROPPING = 1, 2  # Settle


class Winner(Record, frozen=True, order=True):
    """A held place that SQL is to grant."""

    rid: int
    rank: int
    version: int


class Grant(Job, frozen=True, order=True):
    """Winners to be granted; then the rids that live, and those that have ended meanwhile."""

    pc: int
    batch: int
    epoch: int = 0
    winners: tuple[Winner, ...] = ()
    live: tuple[int, ...] = ()
    gone: tuple[int, ...] = ()


class Consume(Grant, frozen=True, order=True):
    """A batch in a consumer's hand, decided and not yet acknowledged."""

    kind: ClassVar[int] = 1


class LeftOver(Grant, frozen=True, order=True):
    """A hold on `ungranted` in the scheduler's hand; it has no batch."""

    kind: ClassVar[int] = 2


class Tell(Job, frozen=True, order=True):
    """An ending in SQL that Redis must learn. ended: the row's state then."""

    kind: ClassVar[int] = 3

    pc: int
    epoch: int
    rid: int
    ended: int


class Checkout(Job, frozen=True, order=True):
    """A payment. known: what the provider said."""

    kind: ClassVar[int] = 4

    pc: int
    rid: int
    attempt: int
    known: int = UNSEEN


class TellStock(Job, frozen=True, order=True):
    """A raised stock that Redis must learn."""

    kind: ClassVar[int] = 5

    epoch: int
    stock: int


class TellPhase(Job, frozen=True, order=True):
    """A phase that Redis must learn."""

    kind: ClassVar[int] = 6

    epoch: int
    phase: int


class Rebuild(Job, frozen=True, order=True):
    """A rebuild. marker: how many batches the log has before it; snapshot: the rows it read."""

    kind: ClassVar[int] = 7

    pc: int
    epoch: int
    marker: int
    stock: int
    phase: int
    snapshot: Rows = ()


class Settle(Job, frozen=True, order=True):
    """The settlement of a drained sale."""

    kind: ClassVar[int] = 8

    pc: int
    epoch: int


def kinds(jobs: Jobs) -> list[type[Job]]:
    """What kinds of jobs these are."""
    return [type(job) for job in jobs]


def _order(job: Job) -> tuple[int, Job]:
    return job.kind, job


def add(jobs: Jobs, job: Job) -> Jobs:
    """`jobs` and `job`."""
    if not jobs:
        return (job,)
    return tuple(sorted((*jobs, job), key=_order))


def swap(jobs: Jobs, index: int, job: Job | None = None) -> Jobs:
    """`jobs` without the one at `index`, or with `job` in its place."""
    rest = jobs[:index] + jobs[index + 1 :]
    return add(rest, job) if job is not None else rest
