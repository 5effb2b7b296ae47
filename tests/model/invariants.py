"""What must hold in every state, and what must hold once nothing is left to do (a quiet state)."""

from tests.model.jobs import CHECKOUT
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
    Scope,
    State,
)


def broken(c: Scope, state: State) -> str | None:
    """The first promise this state breaks, or None."""
    return _sql(c, state) or _redis(c, state) or _both(c, state)


def _sql(c: Scope, state: State) -> str | None:
    _, rows, ledger, money, _, jobs, _, _, _ = state
    stock, granted, sold = ledger[2:5]
    live = [rid for rid, row in enumerate(rows) if row and row[0] <= PAID]
    paid = [rid for rid in live if rows[rid][0] == PAID]
    if granted > stock or sold > granted:
        return "I2 oversold in the ledger"
    if granted != len(live) or sold != len(paid):
        return "I2 the ledger miscounts"
    if len({c.user_of[rid] for rid in live}) < len(live):
        return "I4 two live units of one user"
    for rid in paid:
        key = rows[rid][4] - 1 if c.rules.attempt_in_cas else 0
        if money[rid][key] != CHARGED:
            refunded = money[rid][key] == REFUNDED
            return "G7 paid, but the money went back" if refunded else "G7 paid without a charge"
    if any(job[0] == CHECKOUT for job in jobs):
        return None
    for rid in range(c.rids):
        if money[rid].count(CHARGED) > 1:
            return "G7 charged twice"
    return None


def _redis(c: Scope, state: State) -> str | None:
    redis = state[0]
    if not redis[0] or redis[4]:
        return None
    states = [place[0] for place in redis[10] if place]
    if states.count(HELD) != redis[7] or states.count(PAID) != redis[8]:
        return "I1 Redis miscounts"
    if redis[6] < 0 or redis[6] + redis[7] + redis[8] != redis[5]:
        return "I1 free + held + paid is not the stock"
    for rid in redis[11]:
        place = redis[10][c.user_of[rid]]
        if not place or place[:2] != (HELD, rid):
            return "ungranted without its held place"
    for letters in redis[12]:
        if letters and C in letters and state[8][1] == OPEN_END:
            return "told closed while the sale is open"
    return None


def trusted(state: State) -> bool:
    """Whether Redis is in use: no rebuild, no freeze, no unnoticed loss."""
    redis, _, ledger = state[:3]
    if redis[0] != ledger[0] or ledger[1] or redis[2] == FROZEN:
        return False
    return bool(redis[1])


def _both(c: Scope, state: State) -> str | None:
    return disagreement(c, state) if trusted(state) else None


def disagreement(c: Scope, state: State) -> str | None:
    """I7 and I8: what Redis says of holds against what SQL says."""
    redis, rows = state[:2]
    users, ungranted = redis[10], redis[11]
    for rid, row in enumerate(rows):
        place = users[c.user_of[rid]]
        if not row:
            continue
        mine = place and place[1] == rid
        if row[0] in (HELD, PAYING) and not (mine and place[0] == HELD):
            return "I7 a live hold that Redis does not hold"
        if row[0] == PAID and not (mine and place[0] in ((PAID,) if row[2] else (HELD, PAID))):
            return "I8 paid in SQL, not in Redis"
        if row[0] > PAID and mine and (place[0] == STANDBY or (row[2] and place[0] == HELD)):
            return "I7 a hold that ended lives on in Redis"
    for place in users:
        if not place:
            continue
        own = rows[place[1]]
        if place[0] == HELD and not own and place[1] not in ungranted:
            return "I7 held in Redis, unknown to SQL and not on ungranted"
        if place[0] == PAID and not (own and own[0] == PAID):
            return "I8 paid in Redis, not in SQL"
    return None


def unfinished(c: Scope, state: State) -> str | None:
    """What a quiet state still owes; it is called only where no process has a step to make."""
    redis, rows, ledger, money, queue, _, _, _, world = state
    if ledger[5] == SETTLED:
        return None if not redis[0] else "settled, but still in Redis"
    if redis[2] != OPEN and ledger[5] != OPEN:
        return None  # paused, and time will resume it
    if redis[0] != ledger[0] or ledger[1]:
        return "frozen for ever"
    if redis[5] != ledger[2] or redis[2] != ledger[5]:
        return "the stores differ on stock or phase for ever"
    if wrong := disagreement(c, state):
        return wrong + " for ever"
    if redis[11] or any(row and not row[2] for row in rows):
        return "left on ungranted or unsynced for ever"
    if redis[6] and any(place and place[0] == STANDBY for place in redis[10]):
        return "I5 a unit lies idle while somebody stands by"
    if (redis[7] + redis[8], redis[8]) != ledger[3:5]:
        return "I2 the stores count differently"
    for batch in range(world[0]):
        if not redis[12][batch] and not queue[batch]:
            return "I3 an accepted batch is lost"
        for user, letter in zip(c.batches[batch], redis[12][batch] or (), strict=False):
            if letter <= 3 and not redis[10][user]:  # h, s, r
                return "I3 a place that was given is lost"
    for rid in range(c.rids):
        row = rows[rid]
        owner = row[4] - 1 if row and row[0] == PAID else -1
        owner = 0 if owner >= 0 and not c.rules.attempt_in_cas else owner
        for key, known in enumerate(money[rid]):
            if known == CHARGED and key != owner:
                return "G7 money kept without a unit"
    return None
