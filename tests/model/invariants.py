"""Invariants: what holds in every state, and what holds in a quiet one (nothing is left to do)."""

from tests.model.jobs import Checkout, kinds
from tests.model.scope import Scope
from tests.model.state import (
    CHARGED,
    FROZEN,
    HELD,
    OPEN,
    OPEN_END,
    PAID,
    PAYING,
    REFUNDED,
    SETTLED,
    STANDBY,
    C,
    H,
    Place,
    R,
    Redis,
    Row,
    S,
    State,
)


def broken(c: Scope, state: State) -> str | None:
    """The first promise this state breaks, or None."""
    return _sql(c, state) or _redis(c, state) or _both(c, state)


def _sql(c: Scope, state: State) -> str | None:
    ledger = state.ledger
    live = [(rid, row) for rid, row in enumerate(state.rows) if row and row.state <= PAID]
    paid = [(rid, row) for rid, row in live if row.state == PAID]
    if ledger.granted > ledger.stock or ledger.sold > ledger.granted:
        return "I2 oversold in the ledger"
    if ledger.granted != len(live) or ledger.sold != len(paid):
        return "I2 the ledger miscounts"
    if len({c.user_of[rid] for rid, _ in live}) < len(live):
        return "I4 two live units of one user"
    for rid, row in paid:
        charge = state.money[rid][c.key(row.attempt)]
        if charge == REFUNDED:
            return "G7 paid, but the money went back"
        if charge != CHARGED:
            return "G7 paid without a charge"
    if Checkout in kinds(state.jobs):
        return None
    for charges in state.money:
        if charges.count(CHARGED) > 1:
            return "G7 charged twice"
    return None


def _redis(c: Scope, state: State) -> str | None:
    redis = state.redis
    if not redis.epoch or redis.begun:
        return None
    states = [place.state for place in redis.users if place]
    if states.count(HELD) != redis.held or states.count(PAID) != redis.paid:
        return "I1 Redis miscounts"
    if redis.free < 0 or redis.free + redis.held + redis.paid != redis.stock:
        return "I1 free + held + paid is not the stock"
    for rid in redis.ungranted:
        place = redis.users[c.user_of[rid]]
        if not place or place.state != HELD or place.rid != rid:
            return "ungranted without its held place"
    for letters in redis.batches:
        if C in letters and state.in_time == OPEN_END:
            return "told closed while the sale is open"
    return None


def trusted(state: State) -> bool:
    """Whether Redis is in use: no rebuild, no freeze, no unnoticed loss."""
    redis, ledger = state.redis, state.ledger
    if redis.epoch != ledger.epoch or ledger.frozen or redis.phase == FROZEN:
        return False
    return bool(redis.genuine)


def _both(c: Scope, state: State) -> str | None:
    return disagreement(c, state) if trusted(state) else None


def disagreement(c: Scope, state: State) -> str | None:
    """I7 and I8: what Redis says of holds against what SQL says."""
    redis, rows = state.redis, state.rows
    for rid, row in enumerate(rows):
        place = redis.users[c.user_of[rid]]
        if row and (wrong := _unlike(row, place if place and place.rid == rid else None)):
            return wrong
    for place in redis.users:
        if not place:
            continue
        own = rows[place.rid]
        if place.state == HELD and not own and place.rid not in redis.ungranted:
            return "I7 held in Redis, unknown to SQL and not on ungranted"
        if place.state == PAID and not (own and own.state == PAID):
            return "I8 paid in Redis, not in SQL"
    return None


def _unlike(row: Row, place: Place | None) -> str | None:
    """How a row differs from its own place, which is None if Redis knows nothing of its rid."""
    known = place.state if place else None
    if row.state in (HELD, PAYING) and known != HELD:
        return "I7 a live hold that Redis does not hold"
    if row.state == PAID and known != PAID and (row.synced or known != HELD):
        return "I8 paid in SQL, not in Redis"
    if row.state > PAID and (known == STANDBY or (row.synced and known == HELD)):
        return "I7 a hold that ended lives on in Redis"
    return None


def unfinished(c: Scope, state: State) -> str | None:
    """What a quiet state still owes; it is called only where no process has a step to make."""
    redis, ledger = state.redis, state.ledger
    if ledger.phase == SETTLED:
        return None if not redis.epoch else "settled, but still in Redis"
    if redis.phase != OPEN and ledger.phase != OPEN:
        return None  # paused, and time will resume it
    if redis.epoch != ledger.epoch or ledger.frozen:
        return "frozen for ever"
    if redis.stock != ledger.stock or redis.phase != ledger.phase:
        return "the stores differ on stock or phase for ever"
    if wrong := disagreement(c, state):
        return wrong + " for ever"
    if redis.ungranted or any(row and not row.synced for row in state.rows):
        return "left on ungranted or unsynced for ever"
    if redis.free and any(place and place.state == STANDBY for place in redis.users):
        return "I5 a unit lies idle while somebody stands by"
    if redis.held + redis.paid != ledger.granted or redis.paid != ledger.sold:
        return "I2 the stores count differently"
    return _lost(c, state, redis) or _kept(c, state)


def _lost(c: Scope, state: State, redis: Redis) -> str | None:
    for batch in range(state.published):
        letters = redis.batches[batch]
        if not letters and not state.queue[batch]:
            return "I3 an accepted batch is lost"
        for user, letter in zip(c.batches[batch], letters, strict=False):
            if letter in (H, S, R) and not redis.users[user]:
                return "I3 a place that was given is lost"
    return None


def _kept(c: Scope, state: State) -> str | None:
    for row, charges in zip(state.rows, state.money, strict=True):
        paid_by = c.key(row.attempt) if row and row.state == PAID else None
        for key, known in enumerate(charges):
            if known == CHARGED and key != paid_by:
                return "G7 money kept without a unit"
    return None
