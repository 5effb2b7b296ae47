"""The Lua scripts on tuples, under the names of `domain/allocation.py`.

test_conformance.py holds each of these against the function of the same name there, on every call
a run makes. All answer (refusal, redis, answer): on a refusal redis is unchanged.
"""

from collections.abc import Sequence
from typing import Any

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
    R,
    Redis,
    S,
    Scope,
    put,
)

Answer = tuple[int, Redis, Any]
Place = Any  # 0 or (state, rid, rank, version)


def guard(c: Scope, redis: Redis, epoch: int) -> int:
    if redis[0] == 0 or (redis[0] != epoch and c.rules.epoch_in_scripts):
        return EPOCH
    return OK if redis[1] or not c.rules.run_id else RUN_ID


def decide(
    c: Scope,
    redis: Redis,
    epoch: int,
    batch: int,
    late: bool,
    rebuilder: int = 0,
    answered: Sequence[int] = (),
) -> Answer:
    """Answers the letters; `late`: accepted at or after closes_at."""
    if refusal := guard(c, redis, epoch):
        return refusal, redis, ()
    if redis[2] == FROZEN and rebuilder != redis[3]:
        return FREEZE, redis, ()
    letters = redis[12][batch]
    if letters and c.rules.records:
        return OK, redis, letters
    closed = late
    if redis[2] == PAUSED:
        if c.rules.wait_when_paused:
            return WAIT, redis, ()
        closed = True
    free, held, seq, users, ungranted = redis[6], redis[7], redis[9], redis[10], redis[11]
    letters = ()
    for index, user in enumerate(c.batches[batch]):
        place = users[user]
        if index in answered or (place and place[0] in (HELD, STANDBY, PAID)):
            letters += (R,)
            continue
        if closed:
            letters += (C,)
            continue
        waiting = sum(1 for other in users if other and other[0] == STANDBY)
        rid, version = c.first[batch] + index, (place[3] if place else 0) + c.v
        if free > 0 and not waiting:
            seq, free, held, letters = seq + 1, free - 1, held + 1, (*letters, H)
            users = put(users, user, (HELD, rid, seq, version))
            ungranted = tuple(sorted((*ungranted, rid)))
        elif waiting < c.standby_limit:
            seq, letters = seq + 1, (*letters, S)
            users = put(users, user, (STANDBY, rid, seq, version))
        else:
            letters += (O,)
    batches = put(redis[12], batch, letters)
    decided = (*redis[:6], free, held, redis[8], seq, users, ungranted, batches)
    return OK, decided, letters


def _promote_head(c: Scope, redis: Redis) -> Redis:
    users = redis[10]
    _, user = min((p[2], u) for u, p in enumerate(users) if p and p[0] == STANDBY)
    _, rid, rank, version = users[user]
    return (
        *redis[:6],
        redis[6] - 1,
        redis[7] + 1,
        *redis[8:10],
        put(users, user, (HELD, rid, rank, version + c.v)),
        tuple(sorted((*redis[11], rid))),
        redis[12],
    )


def _waits(redis: Redis) -> bool:
    return any(place and place[0] == STANDBY for place in redis[10])


def promote(c: Scope, redis: Redis, epoch: int, rebuilder: int = 0) -> Answer:
    if refusal := guard(c, redis, epoch):
        return refusal, redis, ()
    if redis[2] == FROZEN and rebuilder != redis[3]:
        return FREEZE, redis, ()
    while redis[6] > 0 and _waits(redis):
        redis = _promote_head(c, redis)
    return OK, redis, ()


def granted(c: Scope, redis: Redis, epoch: int, rid: int, version: int) -> Answer:
    if refusal := guard(c, redis, epoch):
        return refusal, redis, False
    if rid not in redis[11]:
        return OK, redis, False
    users, user = redis[10], c.user_of[rid]
    place = users[user]
    if place and place[1] == rid and place[0] == HELD:
        place = (HELD, rid, place[2], max(place[3], version))
        users = put(users, user, place)
    left = tuple(other for other in redis[11] if other != rid)
    return OK, (*redis[:10], users, left, redis[12]), True


def _mine(c: Scope, place: Place, rid: int) -> bool:
    return bool(place) and place[0] == HELD and (place[1] == rid or not c.rules.rid_in_scripts)


def release(c: Scope, redis: Redis, epoch: int, rid: int, reason: int, version: int) -> Answer:
    if refusal := guard(c, redis, epoch):
        return refusal, redis, ()
    users, user = redis[10], c.user_of[rid]
    place = users[user]
    if not _mine(c, place, rid):
        return OK, redis, ()
    users = put(users, user, (reason, place[1], place[2], max(place[3] + c.v, version)))
    left = tuple(other for other in redis[11] if other != place[1])
    redis = (*redis[:6], redis[6] + 1, redis[7] - 1, *redis[8:10], users, left, redis[12])
    return OK, _promote_head(c, redis) if _waits(redis) else redis, ()


def settle(c: Scope, redis: Redis, epoch: int, rid: int, version: int) -> Answer:
    if refusal := guard(c, redis, epoch):
        return refusal, redis, False
    users, user = redis[10], c.user_of[rid]
    place = users[user]
    if not _mine(c, place, rid):
        return OK, redis, False
    users = put(users, user, (PAID, place[1], place[2], max(place[3] + c.v, version)))
    left = tuple(other for other in redis[11] if other != place[1])
    counted = (redis[6], redis[7] - 1, redis[8] + 1, redis[9])
    return OK, (*redis[:6], *counted, users, left, redis[12]), True


def leave(c: Scope, redis: Redis, epoch: int, user: int) -> Answer:
    if refusal := guard(c, redis, epoch):
        return refusal, redis, 0
    if redis[2] == FROZEN:
        return FREEZE, redis, 0
    place = redis[10][user]
    if place and place[0] == STANDBY:
        place = (LEFT, place[1], place[2], place[3] + c.v)
        redis = (*redis[:10], put(redis[10], user, place), *redis[11:])
    return OK, redis, place


def resize(c: Scope, redis: Redis, epoch: int, stock: int) -> Answer:
    if refusal := guard(c, redis, epoch):
        return refusal, redis, ()
    if redis[2] == FROZEN:
        return FREEZE, redis, ()
    if stock > redis[5]:
        redis = (*redis[:5], stock, redis[6] + stock - redis[5], *redis[7:])
    return promote(c, redis, epoch) if c.rules.resize_promotes else (OK, redis, ())


def set_phase(c: Scope, redis: Redis, epoch: int, phase: int, rebuilder: int = 0) -> Answer:
    if refusal := guard(c, redis, epoch):
        return refusal, redis, False
    if redis[2] == FROZEN and rebuilder != redis[3]:
        return FREEZE, redis, False
    return OK, (*redis[:2], phase, 0, *redis[4:]), True


def merge(c: Scope, place: Place, rows: Sequence[tuple[int, Any]]) -> Place:
    """One buyer's place after a rebuild; `rows` are the buyer's (rid, row)."""
    live = next(((rid, row) for rid, row in rows if row[0] <= PAID), None)
    newest = live or max(rows, key=lambda item: item[1][1], default=None)
    version = place[3] if place else 0
    if newest and (live or not place or any(rid == place[1] for rid, _ in rows)):
        own = next((item for item in rows if place and item[0] == place[1]), newest)
        rid, row = live or own
        state = HELD if row[0] == PAYING else row[0]
        rank = place[2] if place and place[1] == rid else row[1]
        unchanged = place and place[1] == rid and place[0] == state
        return state, rid, rank, max(version if unchanged else version + c.v, row[5])
    if not c.rules.keep_places:
        return place if place and place[0] in (EXPIRED, DECLINED, LEFT) else 0
    if place and place[0] == HELD:
        return STANDBY, place[1], place[2], place[3] + c.v
    return place


# a rebuild: begin → merge* → finish; each answers redis, or None if it is not its turn


def begin_rebuild(c: Scope, redis: Redis, epoch: int) -> Redis | None:
    if redis[0] >= epoch or redis[4] >= epoch:
        return None
    kept = 0 if c.rules.epoch_away else redis[0]
    genuine = 1 if c.rules.begin_run_id else redis[1]
    phase = FROZEN if c.rules.epoch_away else redis[2]
    return (kept, genuine, phase, epoch, epoch, *redis[5:])


def _turn(c: Scope, redis: Redis, epoch: int) -> bool:
    return redis[4] == epoch and bool(redis[1] or not c.rules.begin_run_id)


def merge_places(
    c: Scope, redis: Redis, epoch: int, users: Sequence[int], rows: Sequence[Any]
) -> Redis | None:
    if not _turn(c, redis, epoch):
        return None
    places = redis[10]
    for user in users:
        mine = [(rid, rows[rid]) for rid in c.rids_of[user] if rows[rid]]
        places = put(places, user, merge(c, places[user], mine))
    return (*redis[:10], places, *redis[11:])


def finish_rebuild(
    c: Scope, redis: Redis, epoch: int, stock: int, rows: Sequence[Any]
) -> Redis | None:
    if not _turn(c, redis, epoch):
        return None
    held = sum(1 for row in rows if row and row[0] <= PAYING)
    paid = sum(1 for row in rows if row and row[0] == PAID)
    waiting = (place[2] for place in redis[10] if place and place[0] == STANDBY)
    seq = max([redis[9], *waiting, *(row[1] for row in rows if row)])
    counters = (stock, stock - held - paid, held, paid, seq)
    return (epoch, 1, FROZEN, epoch, 0, *counters, redis[10], (), redis[12])
