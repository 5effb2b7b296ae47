"""Scope: how big one run is, and the rules of the protocol that it follows."""

from typing import NamedTuple

from msgspec.structs import replace

from tests.model.state import (
    BUDGETS,
    FAILOVER,
    LOSS,
    RESTART,
    SPURIOUS,
    UNSEEN,
    Ledger,
    Redis,
    State,
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
    wait_when_paused: bool = True  # a paused sale decides nothing, instead of telling closed
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
        self.versioned = int(versions)  # what a change adds to a version
        self.resize, self.limit = resize, limit
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
        self.empty = Redis(users=(None,) * self.users, batches=((),) * len(batches))

    def key(self, attempt: int) -> int:
        """Which of a rid's keys the provider sees for this attempt."""
        return attempt - 1 if self.rules.attempt_in_cas else 0

    def without(self, rule: str) -> "Scope":
        """The same scope with one rule turned round."""
        twin = Scope.__new__(Scope)
        twin.__dict__.update(self.__dict__)
        twin.rules = self.rules._replace(**{rule: not getattr(self.rules, rule)})
        return twin


def initial(c: Scope) -> State:
    """An armed sale, its first batches published and undelivered."""
    published = len(c.batches) - c.late
    return State(
        redis=replace(c.empty, epoch=1, genuine=1, stock=c.stock, free=c.stock),
        rows=(None,) * c.rids,
        ledger=Ledger(epoch=1, stock=c.stock),
        money=((UNSEEN,) * c.attempts,) * c.rids,
        queue=(1,) * published + (0,) * c.late,
        jobs=(),
        budget=c.budget,
        published=published,
    )
