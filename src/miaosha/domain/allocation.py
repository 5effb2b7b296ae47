"""Who gets a unit: the specification of the Lua scripts as plain functions.

Each function here is one script of `adapters/redis/lua` (same name, same order of checks); tests
run the two side by side on random histories. `Allocation` is the state of one sale in Redis.

Order within one sale: every new place takes the next rank (`seq`), a direct hold too. Standby is
served by rank, and nobody overtakes it: a newcomer is held only when units are free *and* nobody
stands by. A place that returns to standby (a rebuild) keeps its rank, hence comes back to the head.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from miaosha.domain.messages import BATCH_USERS_MAX, Batch
from miaosha.domain.reservation import Event, HoldState, State, place_of, step

PROMOTE_MAX = 256  # heads promoted by one call


class Letter(StrEnum):
    """What a request got, recorded per batch in the same step that decided it."""

    HELD = "h"
    STANDBY = "s"
    REPEAT = "r"  # the buyer had a live place already: answers that place
    SOLD_OUT = "o"
    CLOSED = "c"


class Place(NamedTuple):
    """Where a buyer stands: `state|rid|rank|version|pay_by_ms` in Redis (pay_by_ms 0 until SQL
    granted; then a copy for display)."""

    state: State
    rid: str
    rank: int
    version: int
    pay_by_ms: int = 0

    def encode(self) -> str:
        return f"{self.state}|{self.rid}|{self.rank}|{self.version}|{self.pay_by_ms}"

    @classmethod
    def parse(cls, text: str) -> "Place":
        state, rid, rank, version, pay_by = text.split("|")
        return cls(State(state), rid, int(rank), int(version), int(pay_by))


class Refusal(StrEnum):
    """Why a script wrote nothing. EPOCH and RUN_ID: Redis has not been told; the rest: not now."""

    EPOCH = "epoch"  # another epoch than the caller's, or none
    RUN_ID = "run_id"  # this server is not the one the sale was written to: a loss
    FROZEN = "frozen"
    PAUSED = "paused"


LIVE_PLACE = frozenset({State.HELD, State.STANDBY, State.PAID})


@dataclass
class Allocation:
    """One sale in Redis. `ungranted` maps rid → (user, promoted): holds SQL was not asked for."""

    epoch: int
    stock: int
    free: int
    closes_at_ms: int
    standby_limit: int
    phase: str = "open"  # open | paused | frozen
    rebuilder: str = ""
    held: int = 0
    paid: int = 0
    refused: int = 0
    seq: int = 0
    users: dict[int, Place] = field(default_factory=dict)
    standby: dict[int, int] = field(default_factory=dict)  # user → rank
    ungranted: dict[str, tuple[int, bool]] = field(default_factory=dict)
    batches: dict[str, str] = field(default_factory=dict)

    def head(self) -> int:
        return min(self.standby, key=lambda user: self.standby[user])


class Decision(NamedTuple):
    """Answer of decide: one letter per request and each user's place as it is now."""

    letters: str
    places: list[Place | None]
    fresh: bool  # False: the batch had been recorded before


class Promoted(NamedTuple):
    """A standby place that just became a hold; it must be granted and told at once."""

    user_id: int
    rid: str
    rank: int
    version: int


def _guard(sale: Allocation, epoch: int) -> Refusal | None:
    return Refusal.EPOCH if sale.epoch != epoch else None


def _frozen(sale: Allocation, rebuilder: str) -> bool:
    return sale.phase == "frozen" and (not rebuilder or rebuilder != sale.rebuilder)


def decide(
    sale: Allocation,
    epoch: int,
    batch: Batch,
    *,
    rebuilder: str = "",
    answered: Iterable[int] = (),
) -> Decision | Refusal:
    """Decide a batch, or repeat what was recorded for it.

    Args:
        epoch: the epoch the caller last read from the ledger.
        rebuilder: the lease id of a rebuild, which may decide while the sale is frozen.
        answered: indices whose request SQL has already answered (only in a log replay): they
            get the letter `r` and no place.
    """
    if refusal := _guard(sale, epoch):
        return refusal
    if _frozen(sale, rebuilder):
        return Refusal.FROZEN
    users = batch.user_ids
    assert len(users) <= BATCH_USERS_MAX
    if (letters := sale.batches.get(batch.batch_id)) is not None:
        return Decision(letters, [sale.users.get(u) for u in users], fresh=False)
    if sale.phase == "paused" and not rebuilder:
        return Refusal.PAUSED
    skip = frozenset(answered)
    letters = "".join(
        Letter.REPEAT if i in skip else _decide_one(sale, batch, user, batch.rid(i))
        for i, user in enumerate(users)
    )
    sale.batches[batch.batch_id] = letters
    return Decision(letters, [sale.users.get(u) for u in users], fresh=True)


def _decide_one(sale: Allocation, batch: Batch, user: int, rid: str) -> Letter:
    place = sale.users.get(user)
    if place and place.state in LIVE_PLACE:
        return Letter.REPEAT
    if batch.accepted_at_ms >= sale.closes_at_ms:
        return Letter.CLOSED
    before = place.state if place else State.NONE
    version = place.version + 1 if place else 1
    if sale.free > 0 and not sale.standby:
        sale.seq += 1
        sale.free -= 1
        sale.held += 1
        sale.users[user] = Place(step(before, Event.WIN), rid, sale.seq, version)
        sale.ungranted[rid] = (user, False)
        return Letter.HELD
    if len(sale.standby) < sale.standby_limit:
        sale.seq += 1
        sale.users[user] = Place(step(before, Event.WAIT), rid, sale.seq, version)
        sale.standby[user] = sale.seq
        return Letter.STANDBY
    sale.refused += 1
    return Letter.SOLD_OUT


def _promote_head(sale: Allocation) -> Promoted:
    user = sale.head()
    rank = sale.standby.pop(user)
    place = sale.users[user]
    place = place._replace(state=step(place.state, Event.PROMOTE), version=place.version + 1)
    sale.users[user] = place
    sale.free -= 1
    sale.held += 1
    sale.ungranted[place.rid] = (user, True)
    return Promoted(user, place.rid, rank, place.version)


def promote(
    sale: Allocation, epoch: int, *, limit: int = PROMOTE_MAX, rebuilder: str = ""
) -> list[Promoted] | Refusal:
    """Standby heads become holds while units are free; at most `limit` a call."""
    if refusal := _guard(sale, epoch):
        return refusal
    if _frozen(sale, rebuilder):
        return Refusal.FROZEN
    promoted: list[Promoted] = []
    while sale.free > 0 and sale.standby and len(promoted) < limit:
        promoted.append(_promote_head(sale))
    return promoted


def granted(
    sale: Allocation, epoch: int, user: int, rid: str, pay_by_ms: int, version: int
) -> bool | Refusal:
    """SQL has committed this hold: off `ungranted`, its pay_by copied. True if it was on it."""
    if refusal := _guard(sale, epoch):
        return refusal
    if rid not in sale.ungranted:
        return False
    del sale.ungranted[rid]
    place = sale.users.get(user)
    if place and place.rid == rid and place.state is State.HELD:
        sale.users[user] = place._replace(
            pay_by_ms=pay_by_ms, version=max(place.version + 1, version)
        )
    return True


def release(
    sale: Allocation, epoch: int, user: int, rid: str, reason: State, version: int
) -> list[Promoted] | Refusal:
    """A hold ended in SQL (`reason`: expired or declined): its unit goes to the head of standby in
    the same step, or back to free. Acts only if the place still holds under that rid."""
    if refusal := _guard(sale, epoch):
        return refusal
    place = sale.users.get(user)
    if not place or place.rid != rid or place.state is not State.HELD:
        return []
    sale.users[user] = place._replace(state=reason, version=max(place.version + 1, version))
    sale.ungranted.pop(rid, None)
    sale.held -= 1
    sale.free += 1
    return [_promote_head(sale)] if sale.standby else []


def settle(sale: Allocation, epoch: int, user: int, rid: str, version: int) -> bool | Refusal:
    """A hold was paid in SQL. True if this call moved it."""
    if refusal := _guard(sale, epoch):
        return refusal
    place = sale.users.get(user)
    if not place or place.rid != rid or place.state is not State.HELD:
        return False
    sale.users[user] = place._replace(state=State.PAID, version=max(place.version + 1, version))
    sale.ungranted.pop(rid, None)
    sale.held -= 1
    sale.paid += 1
    return True


def leave(sale: Allocation, epoch: int, user: int) -> Place | None | Refusal:
    """A buyer gives up a standby place; answers the place as it is after (`left`), or whatever
    else the buyer has (`held` after a promotion: the caller declines instead), or None."""
    if refusal := _guard(sale, epoch):
        return refusal
    if sale.phase == "frozen":
        return Refusal.FROZEN
    place = sale.users.get(user)
    if place and place.state is State.STANDBY:
        place = place._replace(state=step(place.state, Event.LEAVE), version=place.version + 1)
        sale.users[user] = place
        del sale.standby[user]
    return place


def resize(sale: Allocation, epoch: int, stock: int) -> list[Promoted] | Refusal:
    """Raise the stock to the new total `stock` (never lower it), then promote."""
    if refusal := _guard(sale, epoch):
        return refusal
    if sale.phase == "frozen":
        return Refusal.FROZEN
    if stock > sale.stock:
        sale.free += stock - sale.stock
        sale.stock = stock
    return promote(sale, epoch)


def set_phase(
    sale: Allocation, epoch: int, phase: str, closes_at_ms: int, *, rebuilder: str = ""
) -> bool | Refusal:
    """Set open or paused, and closes_at. A frozen sale is only opened by its own rebuild."""
    if refusal := _guard(sale, epoch):
        return refusal
    if _frozen(sale, rebuilder):
        return Refusal.FROZEN
    sale.phase = phase
    sale.closes_at_ms = closes_at_ms
    sale.rebuilder = ""
    return True


class Row(NamedTuple):
    """A row of `holds` as a rebuild sees it."""

    rid: str
    user_id: int
    state: HoldState
    reason: str | None
    rank: int
    version: int
    pay_by_ms: int


def merge(place: Place | None, rows: Sequence[Row]) -> Place | None:
    """One buyer's place after a rebuild, from the old place and all of the buyer's rows.

    Live rows of SQL win. A RELEASED row ends only a place with its rid, or fills a buyer without
    one. A place whose rid has no row stays as it is, but a hold that SQL never granted goes back to
    standby with its own rid and rank, hence to the head.
    """
    version = place.version if place else 0
    live = next((row for row in rows if row.state is not HoldState.RELEASED), None)
    newest = live or max(rows, key=lambda row: row.rank, default=None)
    if newest and (live or place is None or any(row.rid == place.rid for row in rows)):
        own = next((row for row in rows if place and row.rid == place.rid), newest)
        row = live or own
        state = place_of(row.state, row.reason)
        if state is State.PAYING:
            state = State.HELD
        rank = place.rank if place and place.rid == row.rid else row.rank
        unchanged = place is not None and place.rid == row.rid and place.state is state
        version = max(version if unchanged else version + 1, row.version)
        return Place(state, row.rid, rank, version, row.pay_by_ms)
    if place and place.state is State.HELD:
        return place._replace(state=State.STANDBY, version=version + 1, pay_by_ms=0)
    return place


class Outcome(NamedTuple):
    """What one request came to: the buyer's place, or a state without one."""

    state: State
    rid: str
    version: int = 0
    rank: int = 0
    pay_by_ms: int = 0


def outcome(letter: Letter, rid: str, place: Place | None) -> Outcome:
    """What a request with this recorded letter is told, given the buyer's place now."""
    if letter is Letter.SOLD_OUT:
        return Outcome(State.SOLD_OUT, rid)
    if letter is Letter.CLOSED:
        return Outcome(State.CLOSED, rid)
    if place is None or (letter is not Letter.REPEAT and place.rid != rid):
        return Outcome(State.ENDED, rid)
    return Outcome(place.state, place.rid, place.version, place.rank, place.pay_by_ms)


__all__ = [
    "Allocation",
    "Decision",
    "Letter",
    "Outcome",
    "Place",
    "Promoted",
    "Refusal",
    "Row",
    "decide",
    "granted",
    "leave",
    "merge",
    "outcome",
    "promote",
    "release",
    "resize",
    "set_phase",
    "settle",
]
