"""State: what every store and every process of the model has at one moment, and a step between two.

Everything is a frozen struct or a tuple. A step makes a new state, which shares with the old one
all that it leaves as it was. A struct keeps its hash, so shared parts are hashed once.
"""

from typing import Any, ClassVar, TypeVar

from msgspec import Struct

T = TypeVar("T")

# states of places (Redis) and rows (SQL); PAYING is only in SQL, STANDBY and LEFT only in Redis
HELD, PAYING, PAID, EXPIRED, DECLINED, STANDBY, LEFT = 1, 2, 3, 4, 5, 6, 7
PLACE_NAMES = ("none", "held", "paying", "paid", "expired", "declined", "standby", "left")
H, S, R, O, C = 1, 2, 3, 4, 5  # noqa: E741 (the letters of domain.allocation.Letter)
LETTERS = " hsroc"
OPEN, PAUSED, FROZEN, SETTLED = 0, 1, 2, 3  # FROZEN only in Redis, SETTLED only in SQL
OK, EPOCH, RUN_ID, FREEZE, WAIT, STOCK, USER = 0, 1, 2, 3, 4, 5, 6
REFUSALS = ("ok", "epoch", "run_id", "frozen", "paused", "stock", "user")
UNSEEN, CHARGED, REFUSED, VOIDED, REFUNDED = 0, 1, 2, 3, 4
MONEY = ("unseen", "charged", "refused", "voided", "refunded")

MUST, TIME, CHOICE, FAULT = 0, 1, 2, 3  # who makes a step happen
OPEN_END = 99

# budgets
CRASH, DUP, LOSS, FAILOVER, RESTART, SPURIOUS, SECOND = 0, 1, 2, 3, 4, 5, 6
PAY, DECLINE, LEAVE, RESIZE, PAUSE = 7, 8, 9, 10, 11
BUDGETS = (
    *("crash", "dup", "loss", "failover", "restart", "spurious", "second"),
    *("pay", "decline", "leave"),
)


class Record(Struct, frozen=True, cache_hash=True, gc=False, repr_omit_defaults=True):
    """A part of a state. Flags are 0 or 1."""


class Place(Record, frozen=True):
    """A buyer's place in Redis. Standby is the buyers whose place is in state STANDBY."""

    state: int
    rid: int
    rank: int
    version: int


class Redis(Record, frozen=True):
    """A sale in Redis; an epoch of 0 means that there is none.

    users: a place per user; batches: letters per batch, empty if it is not recorded; ungranted:
    rids; genuine: whether the run id is this server's; begun: the epoch of an unfinished rebuild.
    """

    users: tuple[Place | None, ...]
    batches: tuple[tuple[int, ...], ...]
    ungranted: tuple[int, ...] = ()
    epoch: int = 0
    genuine: int = 0
    phase: int = OPEN
    rebuilder: int = 0
    begun: int = 0
    stock: int = 0
    free: int = 0
    held: int = 0
    paid: int = 0
    seq: int = 0


class Row(Record, frozen=True, order=True):
    """A row of `holds` in SQL. due: whether pay_by has passed."""

    state: int
    rank: int
    synced: int = 0
    due: int = 0
    attempt: int = 0
    version: int = 0


class Ledger(Record, frozen=True):
    """The sale's ledger row in SQL."""

    epoch: int
    stock: int
    frozen: int = 0
    granted: int = 0
    sold: int = 0
    phase: int = OPEN


class Job(Record, frozen=True, order=True):
    """What one process has in hand between two steps (jobs.py has the kinds)."""

    kind: ClassVar[int]


Rows = tuple[Row | None, ...]
Money = tuple[tuple[int, ...], ...]
Jobs = tuple[Job, ...]


class State(Struct, frozen=True, gc=False):
    """All there is.

    rows: per rid; money: per rid and attempt, what the provider knows of the key `rid:attempt`;
    queue: per batch, the deliveries that wait (one in hand is in `jobs`); budget: how often each
    choice and each fault may still happen; published: how many batches are; in_time: how many
    were accepted before closes_at, or OPEN_END; backup: Redis as its replica stopped following.
    """

    redis: Redis
    rows: Rows
    ledger: Ledger
    money: Money
    queue: tuple[int, ...]
    jobs: Jobs
    budget: tuple[int, ...]
    published: int
    in_time: int = OPEN_END
    backup: Redis | None = None


class Step(Struct, frozen=True, gc=False):
    """One step. who: makes it happen; wrong: the promise that the step itself breaks."""

    who: int
    label: Any
    after: State
    wrong: str | None = None


def put(items: tuple[T, ...], index: int, value: T) -> tuple[T, ...]:
    """`items` with `value` at `index`."""
    return (*items[:index], value, *items[index + 1 :])


def spend(budget: tuple[int, ...], kind: int) -> tuple[int, ...]:
    """`budget` with one less of `kind`."""
    return put(budget, kind, budget[kind] - 1)
