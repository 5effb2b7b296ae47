"""The Lua scripts on structs, under the names of `domain/allocation.py` and `domain/rebuild.py`.

mirror.py holds each script against the function of the same name there, on every call that a run
makes. A script returns (refusal, redis, result); a refused one leaves redis as it was.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from tests.model.scope import Scope
from tests.model.state import (
    DECLINED,
    EPOCH,
    EXPIRED,
    FREEZE,
    FROZEN,
    HELD,
    LEFT,
    OK,
    PAID,
    PAUSED,
    PAYING,
    RUN_ID,
    STANDBY,
    WAIT,
    C,
    H,
    O,
    Place,
    R,
    Redis,
    Row,
    Rows,
    S,
    put,
)

Result = tuple[int, Redis, Any]


def guard(c: Scope, redis: Redis, epoch: int) -> int:
    if redis.epoch == 0 or (redis.epoch != epoch and c.rules.epoch_in_scripts):
        return EPOCH
    return OK if redis.genuine or not c.rules.run_id else RUN_ID


def decide(
    c: Scope,
    redis: Redis,
    epoch: int,
    batch: int,
    late: bool,
    rebuilder: int = 0,
    answered: Sequence[int] = (),
) -> Result:
    """Return the letters. late: accepted at or after closes_at."""
    if refusal := guard(c, redis, epoch):
        return refusal, redis, ()
    if redis.phase == FROZEN and rebuilder != redis.rebuilder:
        return FREEZE, redis, ()
    recorded = redis.batches[batch]
    if recorded and c.rules.records:
        return OK, redis, recorded
    if redis.phase == PAUSED and c.rules.wait_when_paused:
        return WAIT, redis, ()
    closed = late or redis.phase == PAUSED
    letters: tuple[int, ...] = ()
    for index, user in enumerate(c.batches[batch]):
        place = redis.users[user]
        if index in answered or (place and place.state in (HELD, STANDBY, PAID)):
            letters += (R,)
        elif closed:
            letters += (C,)
        else:
            redis, letter = _allocate(c, redis, user, c.first[batch] + index)
            letters += (letter,)
    return OK, replace(redis, batches=put(redis.batches, batch, letters)), letters


def _allocate(c: Scope, redis: Redis, user: int, rid: int) -> tuple[Redis, int]:
    """Give a unit, a place on standby, or nothing: (redis, letter)."""
    before, seq = redis.users[user], redis.seq + 1
    version = (before.version if before else 0) + c.versioned
    waiting = sum(1 for place in redis.users if place and place.state == STANDBY)
    if redis.free > 0 and not waiting:
        users = put(redis.users, user, Place(HELD, rid, seq, version))
        ungranted = tuple(sorted((*redis.ungranted, rid)))
        free, held = redis.free - 1, redis.held + 1
        return replace(redis, users=users, ungranted=ungranted, free=free, held=held, seq=seq), H
    if waiting < c.standby_limit:
        users = put(redis.users, user, Place(STANDBY, rid, seq, version))
        return replace(redis, users=users, seq=seq), S
    return redis, O


def _promote_head(c: Scope, redis: Redis) -> Redis:
    standby = (
        (place.rank, user, place)
        for user, place in enumerate(redis.users)
        if place and place.state == STANDBY
    )
    _, user, head = min(standby)
    held = replace(head, state=HELD, version=head.version + c.versioned)
    return replace(
        redis,
        users=put(redis.users, user, held),
        ungranted=tuple(sorted((*redis.ungranted, head.rid))),
        free=redis.free - 1,
        held=redis.held + 1,
    )


def _waits(redis: Redis) -> bool:
    return any(place and place.state == STANDBY for place in redis.users)


def promote(c: Scope, redis: Redis, epoch: int, rebuilder: int = 0) -> Result:
    if refusal := guard(c, redis, epoch):
        return refusal, redis, ()
    if redis.phase == FROZEN and rebuilder != redis.rebuilder:
        return FREEZE, redis, ()
    while redis.free > 0 and _waits(redis):
        redis = _promote_head(c, redis)
    return OK, redis, ()


def _without(ungranted: tuple[int, ...], rid: int) -> tuple[int, ...]:
    return tuple(other for other in ungranted if other != rid)


def granted(c: Scope, redis: Redis, epoch: int, rid: int, version: int) -> Result:
    if refusal := guard(c, redis, epoch):
        return refusal, redis, False
    if rid not in redis.ungranted:
        return OK, redis, False
    users, user = redis.users, c.user_of[rid]
    place = users[user]
    if place and place.rid == rid and place.state == HELD:
        users = put(users, user, replace(place, version=max(place.version, version)))
    return OK, replace(redis, users=users, ungranted=_without(redis.ungranted, rid)), True


def _holds(c: Scope, place: Place, rid: int) -> bool:
    return place.state == HELD and (place.rid == rid or not c.rules.rid_in_scripts)


def release(c: Scope, redis: Redis, epoch: int, rid: int, reason: int, version: int) -> Result:
    if refusal := guard(c, redis, epoch):
        return refusal, redis, ()
    user = c.user_of[rid]
    place = redis.users[user]
    if not place or not _holds(c, place, rid):
        return OK, redis, ()
    ended = replace(place, state=reason, version=max(place.version + c.versioned, version))
    redis = replace(
        redis,
        users=put(redis.users, user, ended),
        ungranted=_without(redis.ungranted, place.rid),
        free=redis.free + 1,
        held=redis.held - 1,
    )
    return OK, _promote_head(c, redis) if _waits(redis) else redis, ()


def settle(c: Scope, redis: Redis, epoch: int, rid: int, version: int) -> Result:
    if refusal := guard(c, redis, epoch):
        return refusal, redis, False
    user = c.user_of[rid]
    place = redis.users[user]
    if not place or not _holds(c, place, rid):
        return OK, redis, False
    paid = replace(place, state=PAID, version=max(place.version + c.versioned, version))
    redis = replace(
        redis,
        users=put(redis.users, user, paid),
        ungranted=_without(redis.ungranted, place.rid),
        held=redis.held - 1,
        paid=redis.paid + 1,
    )
    return OK, redis, True


def leave(c: Scope, redis: Redis, epoch: int, user: int) -> Result:
    if refusal := guard(c, redis, epoch):
        return refusal, redis, None
    if redis.phase == FROZEN:
        return FREEZE, redis, None
    place = redis.users[user]
    if place and place.state == STANDBY:
        place = replace(place, state=LEFT, version=place.version + c.versioned)
        redis = replace(redis, users=put(redis.users, user, place))
    return OK, redis, place


def resize(c: Scope, redis: Redis, epoch: int, stock: int) -> Result:
    if refusal := guard(c, redis, epoch):
        return refusal, redis, ()
    if redis.phase == FROZEN:
        return FREEZE, redis, ()
    if stock > redis.stock:
        redis = replace(redis, stock=stock, free=redis.free + stock - redis.stock)
    return promote(c, redis, epoch) if c.rules.resize_promotes else (OK, redis, ())


def set_phase(c: Scope, redis: Redis, epoch: int, phase: int, rebuilder: int = 0) -> Result:
    if refusal := guard(c, redis, epoch):
        return refusal, redis, False
    if redis.phase == FROZEN and rebuilder != redis.rebuilder:
        return FREEZE, redis, False
    return OK, replace(redis, phase=phase, rebuilder=0), True


def merge(c: Scope, place: Place | None, rows: Mapping[int, Row]) -> Place | None:
    """One buyer's place after a rebuild. rows: the buyer's rows by rid."""
    live = next((rid for rid, row in rows.items() if row.state <= PAID), None)
    if rows and (live is not None or not place or place.rid in rows):
        return _place_of(c, place, rows, live)
    if not c.rules.keep_places:
        return place if place and place.state in (EXPIRED, DECLINED, LEFT) else None
    if place and place.state == HELD:
        return replace(place, state=STANDBY, version=place.version + c.versioned)
    return place


def _place_of(c: Scope, place: Place | None, rows: Mapping[int, Row], live: int | None) -> Place:
    """The place by SQL: that of the live row, else of the place's own row, else of the newest."""
    rid = live
    if rid is None:
        newest = max(rows, key=lambda other: rows[other].rank)
        rid = place.rid if place and place.rid in rows else newest
    row = rows[rid]
    state = HELD if row.state == PAYING else row.state
    if not place:
        return Place(state, rid, row.rank, max(c.versioned, row.version))
    rank = place.rank if place.rid == rid else row.rank
    unchanged = place.rid == rid and place.state == state
    version = place.version if unchanged else place.version + c.versioned
    return Place(state, rid, rank, max(version, row.version))


# a rebuild: begin → merge* → finish; each returns redis, or None if it is not its turn


def begin_rebuild(c: Scope, redis: Redis, epoch: int) -> Redis | None:
    if redis.epoch >= epoch or redis.begun >= epoch:
        return None
    redis = replace(redis, rebuilder=epoch, begun=epoch)
    if c.rules.begin_run_id:
        redis = replace(redis, genuine=1)
    if c.rules.epoch_away:
        redis = replace(redis, epoch=0, phase=FROZEN)
    return redis


def _turn(c: Scope, redis: Redis, epoch: int) -> bool:
    return redis.begun == epoch and bool(redis.genuine or not c.rules.begin_run_id)


def merge_places(
    c: Scope, redis: Redis, epoch: int, users: Sequence[int], rows: Rows
) -> Redis | None:
    if not _turn(c, redis, epoch):
        return None
    places = redis.users
    for user in users:
        mine = {rid: row for rid in c.rids_of[user] if (row := rows[rid])}
        places = put(places, user, merge(c, places[user], mine))
    return replace(redis, users=places)


def finish_rebuild(c: Scope, redis: Redis, epoch: int, stock: int, rows: Rows) -> Redis | None:
    if not _turn(c, redis, epoch):
        return None
    known = [row for row in rows if row]
    held = sum(1 for row in known if row.state <= PAYING)
    paid = sum(1 for row in known if row.state == PAID)
    waiting = (place.rank for place in redis.users if place and place.state == STANDBY)
    return replace(
        redis,
        epoch=epoch,
        genuine=1,
        phase=FROZEN,
        rebuilder=epoch,
        begun=0,
        stock=stock,
        free=stock - held - paid,
        held=held,
        paid=paid,
        seq=max([redis.seq, *waiting, *(row.rank for row in known)]),
        ungranted=(),
    )
