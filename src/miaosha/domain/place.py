"""Place: a buyer's place as Redis keeps it, what a request is told, and how a rebuild merges it.

The vocabulary of `allocation`, which is where places change.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from miaosha.domain.reservation import Event, HoldState, State, place_of, step


class Letter(StrEnum):
    """What a request got, recorded per batch in the same step that decided it."""

    HELD = "h"
    STANDBY = "s"
    REPEAT = "r"  # the buyer had a live place already, and is told of that one
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


class Decision(NamedTuple):
    """Result of decide: one letter per request and each user's place as it is now."""

    letters: str
    places: list[Place | None]
    fresh: bool  # False: the batch had been recorded before


class Promoted(NamedTuple):
    """A standby place that just became a hold; it must be granted and told at once."""

    user_id: int
    rid: str
    rank: int
    version: int


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
    one. A place whose rid has no row stays as it is. But a hold that SQL never granted goes back to
    standby with its own rid and rank, hence to the head.
    """
    version = place.version if place else 0
    live = next((row for row in rows if row.state is not HoldState.RELEASED), None)
    newest = live or max(rows, key=lambda row: row.rank, default=None)
    if newest and (live or place is None or any(row.rid == place.rid for row in rows)):
        own = next((row for row in rows if place and row.rid == place.rid), newest)
        row = live or own
        state, told = place_of(row.state, row.reason), row.version
        if state is State.PAYING:  # which Redis does not know; nor does held have its version
            state, told = State.HELD, 0
        rank = place.rank if place and place.rid == row.rid else row.rank
        unchanged = place is not None and place.rid == row.rid and place.state is state
        version = max(version if unchanged else version + 1, told)
        return Place(state, row.rid, rank, version, row.pay_by_ms)
    if place and place.state is State.HELD:
        return place._replace(
            state=step(place.state, Event.RETURN), version=version + 1, pay_by_ms=0
        )
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
