"""The specification and the Lua scripts side by side on random histories of one sale.

Every rule does the same to `domain/allocation.py` and to the store, compares the answers, and then
everything that is kept. What the specification has no word for is modelled here: a server that is
not the one the sale was written to (`genuine`), and the store's clock.
"""

import asyncio
import itertools
from collections.abc import Coroutine, Iterable
from copy import deepcopy
from typing import Any, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from miaosha.domain import allocation as spec
from miaosha.domain import rebuild
from miaosha.domain.allocation import Decision, Promoted, Refusal, Row
from miaosha.domain.messages import BATCH_VERSION, Batch
from miaosha.domain.reservation import HoldState, State
from miaosha.ports.rebuilding import RebuildMeta
from miaosha.ports.store import Ending, GrantedHold
from tests.contract.sales import Kept
from tests.contract.store_rigs import StoreRig

T = TypeVar("T")

USERS = st.integers(1, 12)
LISTS = st.lists(USERS, min_size=1, max_size=6)
OWN, NOBODY, INTRUDER = "own", "", "intruder"
LEASES = st.sampled_from([OWN, OWN, OWN, INTRUDER])
CALLERS = st.sampled_from([NOBODY, NOBODY, NOBODY, OWN, INTRUDER])
STALE = st.sampled_from([0] * 14 + [-1, 1])  # mostly the right epoch
OURS = st.sampled_from([True, True, True, True, False])  # mostly the place's own rid
VERSIONS = st.integers(1, 6)
CLOSES_MS = 1_000
ROWS = {State.HELD: HoldState.HELD, State.PAID: HoldState.PAID}

_sale_ids = itertools.count(100_001)


class StoreMachine(RuleBasedStateMachine):
    """One sale; `open_with` puts the loop and the rig of a store into the class first."""

    runner: ClassVar[asyncio.Runner]
    rig: ClassVar[StoreRig]

    @classmethod
    def open_with(cls, runner: asyncio.Runner, rig: StoreRig) -> type["StoreMachine"]:
        """A subclass (hypothesis keeps state per class) that talks to this store."""
        return type(cls.__name__, (cls,), {"runner": runner, "rig": rig})

    def __init__(self) -> None:
        super().__init__()
        self.sale_id = next(_sale_ids)
        self.store = self.rig.store
        self.sale = rebuild.empty()
        self.genuine = True
        self.drained = False  # no unit is free while somebody stands by
        self.history: list[Batch] = []
        self.letters: dict[str, str] = {}
        self.latest_ms = 0
        self.rebuilds = 0

    def do(self, call: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(call)

    def agree(self, ours: Any, theirs: Any, epoch: int) -> bool:
        """Compare two answers. True if the call was not refused."""
        if not self._may(epoch):
            ours = Refusal.RUN_ID
        assert theirs == ours
        return not isinstance(theirs, Refusal)

    def told(self, action: Any, epoch: int) -> Any:
        """What the specification answers, done only if this server is the right one."""
        return action(self.sale if self._may(epoch) else deepcopy(self.sale))

    def _may(self, epoch: int) -> bool:
        """False if the specification would accept and this server must refuse (run_id)."""
        return self.genuine or not epoch or self.sale.epoch != epoch

    def epoch(self, off: int) -> int:
        return self.sale.epoch + off

    def lease(self, who: str) -> str:
        return self.sale.rebuilder if who == OWN else who

    # decide

    @initialize(stock=st.integers(0, 6), limit=st.integers(0, 9))
    def arm(self, stock: int, limit: int) -> None:
        self._begin(1, "lease-0")
        self._finish(1, "lease-0", stock, limit, 0)
        self.set_phase("open", CLOSES_MS, 0, OWN)

    @rule(users=LISTS)
    def press(self, users: list[int]) -> None:
        self._decide(self._new_batch(users, -1), 0, NOBODY, frozenset())

    @rule(
        users=st.lists(USERS, max_size=6),
        late=st.integers(-2, 1),
        off=STALE,
        who=CALLERS,
        answered=st.frozensets(st.integers(0, 5), max_size=2),
    )
    def decide(
        self, users: list[int], late: int, off: int, who: str, answered: frozenset[int]
    ) -> None:
        self._decide(self._new_batch(users, late), off, self.lease(who), answered)

    def _new_batch(self, users: list[int], late: int) -> Batch:
        name = f"batch-{len(self.history)}"
        batch = Batch(BATCH_VERSION, self.sale_id, name, CLOSES_MS + late, users)
        self.history.append(batch)
        return batch

    @precondition(lambda self: self.history)
    @rule(data=st.data(), off=STALE, who=CALLERS)
    def repeat(self, data: st.DataObject, off: int, who: str) -> None:
        """The same batch again: a retry after a lost answer, or a redelivery."""
        batch = data.draw(st.sampled_from(self.history))
        self._decide(batch, off, self.lease(who), frozenset())

    @rule(batches=st.lists(st.lists(USERS, max_size=3), min_size=2, max_size=4), off=STALE)
    def decide_many(self, batches: list[list[int]], off: int) -> None:
        start, epoch = len(self.history), self.epoch(off)
        for users in batches:
            self._new_batch(users, -1)
        theirs = self.do(self.store.decide_many(self.sale_id, epoch, self.history[start:]))
        for batch, answer in zip(self.history[start:], theirs, strict=True):
            self._compare(batch, answer, epoch, "", frozenset())

    def _decide(self, batch: Batch, off: int, lease: str, answered: frozenset[int]) -> None:
        epoch = self.epoch(off)
        call = self.store.decide(self.sale_id, epoch, batch, rebuilder=lease, answered=answered)
        self._compare(batch, self.do(call), epoch, lease, answered)

    def _compare(
        self, batch: Batch, theirs: Any, epoch: int, lease: str, answered: frozenset[int]
    ) -> None:
        ours = self.told(
            lambda s: spec.decide(s, epoch, batch, rebuilder=lease, answered=answered), epoch
        )
        self.agree(ours, theirs, epoch)
        if isinstance(theirs, Decision):
            first = self.letters.setdefault(batch.batch_id, theirs.letters)
            assert theirs.letters == first, "a request has one outcome"

    # what SQL tells

    def _target(self, user: int, own: bool, state: State) -> tuple[int, str]:
        """Mostly somebody in that state, with the rid of the place."""
        there = [u for u, place in self.sale.users.items() if place.state is state]
        if own and there:
            user = there[user % len(there)]
        place = self.sale.users.get(user)
        return user, place.rid if place and own else "foreign.0"

    @rule(user=USERS, own=OURS, pay_by=st.integers(1, 9), version=VERSIONS, off=STALE)
    def granted(self, user: int, own: bool, pay_by: int, version: int, off: int) -> None:
        epoch, (user, rid) = self.epoch(off), self._target(user, own, State.HELD)
        ours = self.told(lambda s: spec.granted(s, epoch, user, rid, pay_by, version), epoch)
        told = [GrantedHold(user, rid, pay_by, version)]
        theirs = self.do(self.store.granted(self.sale_id, epoch, told))
        self.agree(ours if isinstance(ours, Refusal) else None, theirs, epoch)

    @rule(
        user=USERS,
        own=OURS,
        reason=st.sampled_from([State.EXPIRED, State.DECLINED]),
        version=VERSIONS,
        off=STALE,
        twice=st.booleans(),
    )
    def release(
        self, user: int, own: bool, reason: State, version: int, off: int, twice: bool
    ) -> None:
        epoch, (user, rid) = self.epoch(off), self._target(user, own, State.HELD)
        for _ in range(1 + twice):
            ours = self.told(lambda s: spec.release(s, epoch, user, rid, reason, version), epoch)
            endings = [Ending(user, rid, reason, version)]
            self._promoted(ours, self.do(self.store.release(self.sale_id, epoch, endings)), epoch)

    @rule(user=USERS, own=OURS, version=VERSIONS, off=STALE)
    def settle(self, user: int, own: bool, version: int, off: int) -> None:
        epoch, (user, rid) = self.epoch(off), self._target(user, own, State.HELD)
        ours = self.told(lambda s: spec.settle(s, epoch, user, rid, version), epoch)
        endings = [Ending(user, rid, State.PAID, version)]
        theirs = self.do(self.store.settle(self.sale_id, epoch, endings))
        self.agree(ours if isinstance(ours, Refusal) else None, theirs, epoch)

    # what has no SQL change behind it

    @rule(user=USERS, own=OURS, off=STALE)
    def leave(self, user: int, own: bool, off: int) -> None:
        epoch, (user, _) = self.epoch(off), self._target(user, own, State.STANDBY)
        ours = self.told(lambda s: spec.leave(s, epoch, user), epoch)
        self.agree(ours, self.do(self.store.leave(self.sale_id, epoch, user)), epoch)

    @rule(user=USERS, own=OURS)
    def leave_late(self, user: int, own: bool) -> None:
        """A repeat that names the place it was meant for."""
        epoch, (user, rid) = self.sale.epoch, self._target(user, own, State.STANDBY)
        ours = self.told(lambda s: spec.leave(s, epoch, user, rid), epoch)
        self.agree(ours, self.do(self.rig.leave(self.sale_id, epoch, user, rid)), epoch)

    @rule(off=STALE, who=CALLERS)
    def promote(self, off: int, who: str) -> None:
        epoch, lease = self.epoch(off), self.lease(who)
        ours = self.told(lambda s: spec.promote(s, epoch, rebuilder=lease), epoch)
        call = self.store.promote(self.sale_id, epoch, rebuilder=lease)
        self.drained |= self._promoted(ours, self.do(call), epoch)

    @rule(more=st.integers(-1, 3), off=STALE)
    def resize(self, more: int, off: int) -> None:
        epoch, stock = self.epoch(off), self.sale.stock + more
        ours = self.told(lambda s: spec.resize(s, epoch, stock), epoch)
        theirs = self.do(self.store.resize(self.sale_id, epoch, stock))
        self.drained |= self._promoted(ours, theirs, epoch)

    def _promoted(self, ours: Any, theirs: list[Promoted] | Refusal, epoch: int) -> bool:
        accepted = self.agree(ours, theirs, epoch)
        if not isinstance(theirs, Refusal):
            ranks = [promoted.rank for promoted in theirs]
            assert ranks == sorted(ranks), "I6"
            behind = min(self.sale.standby.values(), default=1 << 53)
            assert all(rank < behind for rank in ranks), "I6: nobody is overtaken"
        return accepted

    @rule(
        phase=st.sampled_from(["open", "open", "open", "paused"]),
        closes_ms=st.sampled_from([CLOSES_MS, CLOSES_MS + 1]),
        off=STALE,
        who=CALLERS,
    )
    def set_phase(self, phase: str, closes_ms: int, off: int, who: str) -> None:
        epoch, lease = self.epoch(off), self.lease(who)
        ours = self.told(
            lambda s: spec.set_phase(s, epoch, phase, closes_ms, rebuilder=lease), epoch
        )
        call = self.store.set_phase(self.sale_id, epoch, phase, closes_ms, rebuilder=lease)
        self.agree(ours if isinstance(ours, Refusal) else None, self.do(call), epoch)

    # a rebuild, and why there is one

    @precondition(lambda self: self.sale.next_epoch or len(self.history) > 4 * self.rebuilds)
    @rule(more=st.integers(-1, 3), who=LEASES)
    def begin_rebuild(self, more: int, who: str) -> None:
        self.rebuilds += 1
        epoch = max(1, max(self.sale.epoch, self.sale.next_epoch) + more)
        self._begin(epoch, f"lease-{self.rebuilds}" if more > 0 else self.lease(who) or INTRUDER)

    def _begin(self, epoch: int, lease: str) -> None:
        own = self.genuine or self.sale.next_epoch != epoch
        ours = own and rebuild.begin(self.sale, epoch, lease)
        assert self.do(self.store.begin_rebuild(self.sale_id, epoch, lease)) is ours
        if ours:
            self.genuine, self.drained = True, False
            self.latest_ms = 0  # a rebuild counts time anew

    @precondition(lambda self: self.sale.next_epoch or self.sale.phase == "frozen")
    @rule(data=st.data(), who=LEASES)
    def merge_places(self, data: st.DataObject, who: str) -> None:
        """As a rebuild: granted holds have a row in SQL, those on `ungranted` have none."""
        epoch, lease = self.sale.next_epoch or self.sale.epoch, self.lease(who) or INTRUDER
        known = sorted(self.sale.users)
        self._merge(epoch, lease, data.draw(st.sets(st.sampled_from(known))) if known else set())

    def _merge(self, epoch: int, lease: str, users: Iterable[int]) -> None:
        changed = {}
        for user in users:
            place = self.sale.users[user]
            state, known = ROWS.get(place.state), place.rid not in self.sale.ungranted
            row = Row(place.rid, user, state or HoldState.HELD, None, place.rank, 2, 7)
            if merged := spec.merge(place, [row] if state and known else []):
                changed[user] = merged
        ours = self.genuine and rebuild.merge_places(self.sale, epoch, lease, changed)
        assert self.do(self.store.merge_places(self.sale_id, epoch, lease, changed)) is ours

    @precondition(lambda self: not self.sale.epoch or not self.genuine)
    @rule(more=st.integers(0, 2), limit=st.integers(0, 9))
    def recover(self, more: int, limit: int) -> None:
        """A rebuild from end to end, with the log replayed."""
        epoch = max(self.sale.epoch, self.sale.next_epoch) + 1
        self._begin(epoch, "lease-r")
        self._merge(epoch, "lease-r", list(self.sale.users))
        live = [p.state for p in self.sale.users.values()]
        self._finish(
            epoch, "lease-r", live.count(State.HELD) + live.count(State.PAID) + more, limit, 0
        )
        for batch in self.history:
            self._decide(batch, 0, OWN, frozenset())
        self.thaw()

    @precondition(lambda self: self.sale.next_epoch or self.sale.phase == "frozen")
    @rule(who=LEASES, more=st.integers(0, 2), limit=st.integers(0, 9), seq=st.integers(0, 3))
    def finish_rebuild(self, who: str, more: int, limit: int, seq: int) -> None:
        live = [p.state for p in self.sale.users.values()]
        stock = live.count(State.HELD) + live.count(State.PAID) + more
        epoch, lease = self.sale.next_epoch or self.sale.epoch, self.lease(who) or INTRUDER
        self._finish(epoch, lease, stock, limit, seq)

    def _finish(self, epoch: int, lease: str, stock: int, limit: int, seq: int) -> None:
        live = [p.state for p in self.sale.users.values()]
        held, paid = live.count(State.HELD), live.count(State.PAID)
        meta = RebuildMeta(stock, held, paid, seq, CLOSES_MS, limit)
        ours = self.genuine and rebuild.finish(self.sale, epoch, lease, **meta._asdict())
        assert self.do(self.store.finish_rebuild(self.sale_id, epoch, lease, meta)) is ours

    @precondition(lambda self: self.sale.phase == "frozen" and self.sale.epoch)
    @rule()
    def thaw(self) -> None:
        """What ends every rebuild: promote until nobody is left, then the phase."""
        self.promote(0, OWN)
        self.set_phase("open", CLOSES_MS, 0, OWN)

    @precondition(lambda self: len(self.history) > 8 * self.rebuilds and self.sale.phase)
    @rule()
    def another_server(self) -> None:
        self.rebuilds += 1
        self.do(self.rig.disown(self.sale_id))
        self.genuine = False

    @precondition(lambda self: len(self.history) > 8 * self.rebuilds)
    @rule(everything=st.booleans())
    def lose(self, everything: bool) -> None:
        """Everything, or the epoch alone."""
        self.rebuilds += 1
        if everything:
            self.do(self.rig.lose(self.sale_id))
            self.sale, self.genuine, self.drained = rebuild.empty(), True, False
            self.letters.clear()
            self.latest_ms = 0
        else:
            self.do(self.rig.lose_epoch(self.sale_id))
            self.sale.epoch = 0

    @rule(ms=st.integers(1, 5_000))
    def clock_jumps(self, ms: int) -> None:
        """Some script has seen a later time than the server's clock shows now."""
        if self.sale.phase:
            self.do(self.rig.set_clock(self.sale_id, self.latest_ms + ms))
            self.latest_ms += ms

    # after each step

    @invariant()
    def redis_is_as_specified(self) -> None:
        there: Kept = self.do(self.rig.kept(self.sale_id))
        sale = self.sale
        assert there.users == {user: place.encode() for user, place in sale.users.items()}
        assert there.standby == sale.standby
        assert there.ungranted == {
            f"{rid}|{user}|{int(promoted)}" for rid, (user, promoted) in sale.ungranted.items()
        }
        assert there.batches == sale.batches
        for field in ("epoch", "next_epoch", "stock", "free", "held", "paid", "refused", "seq"):
            assert there.number(field) == getattr(sale, field), field
        for field in ("closes_at_ms", "standby_limit"):
            assert there.number(field) == getattr(sale, field), field
        for field in ("phase", "rebuilder"):
            assert there.meta.get(field, "") == getattr(sale, field), field
        assert there.number("clock_ms") >= self.latest_ms, "time never runs backwards"
        self.latest_ms = there.number("clock_ms")

    @invariant()
    def the_promises(self) -> None:
        sale = self.sale
        live = [place.state for place in sale.users.values()]
        if sale.epoch:
            assert sale.free + sale.held + sale.paid == sale.stock, "I1"
            assert (live.count(State.HELD), live.count(State.PAID)) == (sale.held, sale.paid)
            assert not (self.drained and sale.free > 0 and sale.standby), "I5"
        assert {u for u, p in sale.users.items() if p.state is State.STANDBY} == set(sale.standby)
        assert all(sale.users[user].rid == rid for rid, (user, _) in sale.ungranted.items())
