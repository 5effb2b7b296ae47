"""Allocation: who gets a unit; the specification of the Lua scripts as plain functions.

Each function here is one script of `adapters/redis/lua` (same name, same order of checks); tests
run the two side by side on random histories. `Allocation` is the state of one sale in Redis.

Order within one sale: every new place takes the next rank (`seq`), a direct hold too. Standby is
served by rank, and nobody overtakes it: a newcomer is held only when units are free *and* nobody
stands by. A place that returns to standby (a rebuild) keeps its rank, hence comes back to the head.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from miaosha.domain.messages import BATCH_USERS_MAX, Batch
from miaosha.domain.place import (
    LIVE_PLACE,
    Decision,
    Letter,
    Place,
    Promoted,
    Refusal,
    Row,
    merge,
    outcome,
)
from miaosha.domain.reservation import Event, State, step

PROMOTE_MAX = 256  # heads promoted by one call


@dataclass
class Allocation:
    """One sale in Redis. `ungranted` maps rid → (user, promoted): holds SQL was not asked for.

    Epoch 0: none, because the state was lost or a rebuild (`next_epoch`) is under way.
    """

    epoch: int
    stock: int
    free: int
    closes_at_ms: int
    standby_limit: int
    phase: str = "open"  # open | paused | frozen
    rebuilder: str = ""
    next_epoch: int = 0
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


def _guard(sale: Allocation, epoch: int) -> Refusal | None:
    return None if sale.epoch and sale.epoch == epoch else Refusal.EPOCH


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
        answered: indices whose request has a row in SQL already (only in a log replay): they
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
    if sale.phase == "paused":
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
    """SQL has committed this hold: off `ungranted`, its pay_by copied (also a later one, when the
    hold was extended; pay_by never falls). The place takes the row's version: what a lookup and
    what SQL answer of one state must not differ in age. True if this call changed something."""
    if refusal := _guard(sale, epoch):
        return refusal
    removed = sale.ungranted.pop(rid, None) is not None
    place = sale.users.get(user)
    if not place or place.rid != rid or place.state is not State.HELD:
        return removed
    if not removed and pay_by_ms <= place.pay_by_ms:
        return False
    sale.users[user] = place._replace(
        pay_by_ms=max(place.pay_by_ms, pay_by_ms), version=max(place.version, version)
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
    return [_promote_head(sale)] if sale.standby and sale.free > 0 else []


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


def leave(sale: Allocation, epoch: int, user: int, rid: str = "") -> Place | None | Refusal:
    """A buyer gives up a standby place (the one named `rid`, if given). Returns the place as it is
    after (`left`), or whatever else the buyer has (`held` after a promotion: the caller declines
    instead), or None."""
    if refusal := _guard(sale, epoch):
        return refusal
    if sale.phase == "frozen":
        return Refusal.FROZEN
    place = sale.users.get(user)
    if place and place.state is State.STANDBY and rid in ("", place.rid):
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


__all__ = [
    "LIVE_PLACE",
    "PROMOTE_MAX",
    "Allocation",
    "Decision",
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
