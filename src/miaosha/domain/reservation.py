"""Reservation: a buyer's place in a sale, as one table.

A *request* is one accepted press; it ends with one outcome. A *place* is where a buyer stands in a
sale because of a request. Its key is the request's id (its `rid`). Only the moves below change it,
in a Lua script as in SQL. Every move is a compare-and-set on (rid, state): a repeat does nothing,
and of two competing moves exactly one happens.

    none ──▶ held ──▶ paying ──▶ paid                 paid: terminal
      │       │ ▲        │
      │       │ └────────┘ refused, time left, fewer than MAX_ATTEMPTS refusals
      │       ├──▶ expired    pay_by + grace passed
      │       └──▶ declined   the buyer gave it up
      └──▶ standby ──▶ held (promoted) │ left (gave up the place) │ closed (the sale drained)

    held ──▶ standby: only in a rebuild, for a hold that SQL never granted and nobody was told of;
                      it keeps its rank, hence heads the line

A unit is *live* while a place is held, paying or paid: free + live = stock at every instant. Only
`expire`, `decline` and `refuse_last` give a unit back. Each hands it on in the same step, to the
head of standby or to free. In a rebuild `return` does so too; SQL never counted its unit.

Redis does not know `paying`: it is a pin on the hold that only SQL needs, so a paying place reads
held there. `closed` is derived (past closes_at and nothing held), never stored.

`sold_out` ends a request, not the buyer: no place is stored. A buyer whose place is expired,
declined or left may press again. That buyer is a newcomer with a new rid at the end of the line.
"""

from enum import StrEnum
from typing import Final

from miaosha.domain.errors import IllegalTransition

MAX_ATTEMPTS: Final = 5  # payments one hold may try; the fifth refusal releases it
GRACE_MS: Final = 2_000  # ms after pay_by before a hold is released: a payment already on its way


class State(StrEnum):
    """Where a buyer stands. `queued`, `sold_out` and `none` are answers without a place."""

    NONE = "none"
    QUEUED = "queued"
    SOLD_OUT = "sold_out"
    HELD = "held"
    PAYING = "paying"
    STANDBY = "standby"
    PAID = "paid"
    EXPIRED = "expired"
    DECLINED = "declined"
    LEFT = "left"
    CLOSED = "closed"
    ENDED = "ended"  # the place of an old, recorded request is gone; only `mine` knows more


class Event(StrEnum):
    WIN = "win"  # decide, units free and nobody on standby
    WAIT = "wait"  # decide, standby below its limit
    PROMOTE = "promote"  # a unit came free and this place heads standby
    LEAVE = "leave"
    CLOSE = "close"
    PAY = "pay"
    CAPTURE = "capture"
    REFUSE = "refuse"
    REFUSE_LAST = "refuse_last"  # the fifth refusal, or a refusal after pay_by
    EXPIRE = "expire"
    DECLINE = "decline"
    RETURN = "return"  # a rebuild found a hold that SQL never granted


TRANSITIONS: Final[dict[State, dict[Event, State]]] = {
    State.NONE: {Event.WIN: State.HELD, Event.WAIT: State.STANDBY},
    State.HELD: {
        Event.PAY: State.PAYING,
        Event.EXPIRE: State.EXPIRED,
        Event.DECLINE: State.DECLINED,
        Event.RETURN: State.STANDBY,
    },
    State.PAYING: {
        Event.CAPTURE: State.PAID,
        Event.REFUSE: State.HELD,
        Event.REFUSE_LAST: State.EXPIRED,
    },
    State.STANDBY: {
        Event.PROMOTE: State.HELD,
        Event.LEAVE: State.LEFT,
        Event.CLOSE: State.CLOSED,
    },
    State.PAID: {},
    State.EXPIRED: {Event.WIN: State.HELD, Event.WAIT: State.STANDBY},
    State.DECLINED: {Event.WIN: State.HELD, Event.WAIT: State.STANDBY},
    State.LEFT: {Event.WIN: State.HELD, Event.WAIT: State.STANDBY},
    State.CLOSED: {},
}

LIVE: Final = frozenset({State.HELD, State.PAYING, State.PAID})


def step(state: State, event: Event) -> State:
    """The state after `event`.

    Raises:
        IllegalTransition: the table has no such move; names the state and the event.
    """
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise IllegalTransition(f"{event} is not possible in state {state}") from None


class HoldState(StrEnum):
    """The state of a row of `holds` in SQL."""

    HELD = "HELD"
    PAYING = "PAYING"
    PAID = "PAID"
    RELEASED = "RELEASED"  # `reason` says expired or declined


def place_of(hold: HoldState, reason: str | None) -> State:
    """The state a buyer sees for a row of `holds`."""
    if hold is HoldState.RELEASED:
        return State(reason or State.EXPIRED)
    return State(hold.value.lower())
