"""The state of the model as nested tuples of small ints, and the scope of one run.

state = (redis, rows, ledger, money, queue, jobs, budget, backup, world)

redis   (epoch, genuine, phase, rebuilder, begun, stock, free, held, paid, seq, users,
         ungranted, batches); epoch 0: none, `begun`: epoch of an unfinished rebuild
users   per user 0 or (state, rid, rank, version); standby is the users in state STANDBY
batches per batch 0 (not recorded) or its letters
rows    per rid 0 or (state, rank, synced, due, attempt, version): `holds`
ledger  (epoch, frozen, stock, granted, sold, phase)
money   per rid, per attempt: what the provider knows of the key `rid:attempt`
queue   per batch: deliveries waiting (an unacknowledged one that is in hand is in `jobs`)
jobs    sorted tuple of running step machines (kind, pc, …)
budget  how often each choice and each fault may still happen
backup  redis as a replica knows it, or 0
world   (batches published, batches accepted before closes_at or OPEN_END)
"""

from typing import Any, NamedTuple

State = tuple[Any, ...]
Redis = tuple[Any, ...]
Rows = tuple[Any, ...]
Jobs = tuple[Any, ...]

# places (Redis) and rows (SQL); PAYING exists only in SQL, STANDBY and LEFT only in Redis
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


class Rules(NamedTuple):
    """Every rule of the protocol that the model can leave out, to show why it is needed."""

    attempt_in_cas: bool = True  # a CAS out of PAYING and the provider's key name the attempt
    void: bool = True  # a stale payment is voided, not only looked up
    epoch_in_grant: bool = True  # the ledger guard of grant says AND epoch = :e
    epoch_in_scripts: bool = True  # every script compares the epoch
    run_id: bool = True  # every script compares the server's run id
    begin_run_id: bool = True  # begin_rebuild writes the run id; merge and finish compare it
    marker_late: bool = True  # the log's marker is published after Redis's epoch was taken away
    bump_first: bool = True  # a rebuild bumps the epoch before it reads SQL
    epoch_away: bool = True  # a rebuild takes the epoch away before its first chunk
    keep_places: bool = True  # merge keeps standby, and holds SQL never granted
    answered: bool = True  # a replay only answers requests that SQL has answered
    replay: bool = True  # the log is replayed at all
    records: bool = True  # decide repeats what was recorded for a batch
    rid_in_scripts: bool = True  # release and settle act on (user, rid)
    read_back: bool = True  # a grant reads the rows back and tells their state
    user_conflict: bool = True  # a second live hold of a user refuses the grant
    wait_when_paused: bool = True  # a paused sale decides nothing, instead of answering closed
    resize_promotes: bool = True
    catch_up: bool = True  # the scheduler repeats a raised stock and a phase towards Redis
    finish_unsynced: bool = True
    rebuild_promotes: bool = True


class Scope:
    """How big one run is: who presses, how many of everybody, and what may go wrong."""

    def __init__(
        self,
        name: str,
        batches: tuple[tuple[int, ...], ...],
        *,
        stock: int = 1,
        standby_limit: int = 2,
        consumers: int = 1,
        workers: int = 1,
        attempts: int = 1,
        late: int = 0,
        expire: bool = True,
        close: bool = False,
        settle: bool = False,
        versions: bool = False,
        resize: tuple[int, ...] = (),
        rules: Rules | None = None,
        limit: int = 2_000_000,
        **budget: int,
    ) -> None:
        self.name, self.batches, self.rules = name, batches, rules or Rules()
        self.stock, self.standby_limit = stock, standby_limit
        self.consumers, self.workers, self.attempts = consumers, workers, attempts
        self.late, self.expire, self.close, self.settle = late, expire, close, settle
        self.v, self.resize, self.limit = int(versions), resize, limit
        counted = [budget.pop(name, 0) for name in BUDGETS]
        self.budget = (*counted, len(resize), budget.pop("pause", 0))
        if budget:
            raise TypeError(f"no such budget: {budget}")
        self.user_of = tuple(user for batch in batches for user in batch)
        self.first = tuple(sum(map(len, batches[:b])) for b in range(len(batches)))
        self.batch_of = tuple(b for b, batch in enumerate(batches) for _ in batch)
        self.rids_of = tuple(
            tuple(r for r, user in enumerate(self.user_of) if user == u)
            for u in range(max(self.user_of) + 1)
        )
        self.users, self.rids = len(self.rids_of), len(self.user_of)
        self.lossy = any(self.budget[k] for k in (LOSS, FAILOVER, RESTART, SPURIOUS))
        self.empty: Redis = (0,) * 10 + ((0,) * self.users, (), (0,) * len(batches))

    def without(self, rule: str) -> "Scope":
        """The same scope with one rule turned round."""
        twin = Scope.__new__(Scope)
        twin.__dict__.update(self.__dict__)
        twin.rules = self.rules._replace(**{rule: not getattr(self.rules, rule)})
        return twin


def initial(c: Scope) -> State:
    """An armed sale, its first batches published and undelivered."""
    counters = (1, 1, OPEN, 0, 0, c.stock, c.stock, 0, 0, 0)
    redis = (*counters, (0,) * c.users, (), (0,) * len(c.batches))
    published = len(c.batches) - c.late
    queue = (1,) * published + (0,) * c.late
    money = ((UNSEEN,) * c.attempts,) * c.rids
    ledger = (1, 0, c.stock, 0, 0, OPEN)
    return (redis, (0,) * c.rids, ledger, money, queue, (), c.budget, 0, (published, OPEN_END))


def put(items: tuple[Any, ...], index: int, value: object) -> tuple[Any, ...]:
    return (*items[:index], value, *items[index + 1 :])


def add(jobs: Jobs, job: tuple[Any, ...]) -> Jobs:
    return tuple(sorted((*jobs, job)))


def swap(jobs: Jobs, index: int, job: tuple[Any, ...] | None = None) -> Jobs:
    """`jobs` without the one at `index`, or with `job` in its place."""
    rest = jobs[:index] + jobs[index + 1 :]
    return tuple(sorted((*rest, job))) if job is not None else rest


def spend(budget: tuple[int, ...], kind: int) -> tuple[int, ...]:
    return (*budget[:kind], budget[kind] - 1, *budget[kind + 1 :])
