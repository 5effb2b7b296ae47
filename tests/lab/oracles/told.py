"""Told: what one buyer is told is a path of the reservation's table, and its versions rise.

A page drops what has a lower version than it knows. Two answers of one version must say one thing.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from miaosha.domain.reservation import TRANSITIONS, HoldState, State

if TYPE_CHECKING:
    from tests.lab.people import Buyer, Told
    from tests.lab.world import World

PLACES: Final = frozenset(
    {
        State.HELD,
        State.PAYING,
        State.PAID,
        State.STANDBY,
        State.EXPIRED,
        State.DECLINED,
        State.LEFT,
    }
)
HEARD_S: Final = 9.0  # what was read before a loss is heard by then


def _reachable() -> dict[State, frozenset[State]]:
    """From each state: those that some number of moves leads to."""
    found = {state: {state, *moves.values()} for state, moves in TRANSITIONS.items()}
    for _ in found:
        for states in found.values():
            states |= {after for state in list(states) for after in found[state]}
    return {state: frozenset(states) for state, states in found.items()}


AFTER: Final = _reachable()


class Stories:
    def __init__(self, world: "World", find: Callable[..., None]) -> None:
        self._world = world
        self._find = find
        self._known: dict[int, Told] = {}
        self._run_id = ""
        self._losses = 0
        self._lost_s = -HEARD_S  # when Redis lost something last

    def look(self) -> None:
        """Before the next call. A restart loses nothing; whatever else gives a run id does."""
        world = self._world
        if world.store.run_id == self._run_id:
            return
        self._run_id = world.store.run_id
        losses = int(self._run_id, 16) - 1 - world.counts["event store restarts"]
        if losses > self._losses:
            self._losses = losses
            self._lost_s = world.loop.time()

    def told(self, buyer: "Buyer", told: "Told") -> None:
        self._world.counts["look told"] += 1
        state = State(told.state)
        if state in (State.HELD, State.PAYING, State.PAID):
            self._row(buyer, told, state)
        known = self._known.get(buyer.id)
        if state is State.QUEUED and known is not None and known.rid == told.rid:
            self._recorded(buyer, known, told)
        if state not in PLACES or not told.version:
            return
        if known is not None and told.version < known.version:
            return
        if known is not None:
            self._follows(buyer, known, told)
        self._known[buyer.id] = told

    def _row(self, buyer: "Buyer", told: "Told", state: State) -> None:
        """Nobody hears of a hold before SQL has it."""
        rows = self._world.sql.ask("SELECT state, user_id FROM holds WHERE rid = ?", told.rid)
        if not rows:
            self._find(
                "told",
                f"buyer {buyer.id} was told {state} of {told.rid} by {told.by}: SQL has none",
                f"no row {told.by}",
            )
        elif rows[0][1] != buyer.id:
            self._find(
                "told", f"buyer {buyer.id} was told {state} of {told.rid}: another's", "another's"
            )
        elif state is State.PAID and rows[0][0] != HoldState.PAID:
            self._find(
                "told", f"buyer {buyer.id} was told paid, and the hold is {rows[0][0]}", "paid"
            )

    def _recorded(self, buyer: "Buyer", known: "Told", told: "Told") -> None:
        """A request that had an outcome reads queued while its hold is being granted, no longer."""
        sale = self._world.allocation(buyer.sale_id)
        known_there = sale is not None and sale.epoch and self._world.genuine(buyer.sale_id)
        if sale is not None and known_there and told.rid.rpartition(".")[0] not in sale.batches:
            self._find(
                "told",
                f"buyer {buyer.id} was told {known.state} of {told.rid}, which nobody knows now",
                "forgotten",
            )

    def _follows(self, buyer: "Buyer", known: "Told", told: "Told") -> None:
        lost = known.at_s < self._lost_s + HEARD_S
        same = (known.rid, known.state) == (told.rid, told.state)
        if told.version == known.version and not same and not lost:
            self._find(
                "told",
                f"buyer {buyer.id}: version {told.version} is {known.state} of {known.rid} by"
                f" {known.by} and {told.state} of {told.rid} by {told.by}",
                "one version, two states",
            )
        if known.rid == told.rid and State(told.state) not in AFTER[State(known.state)]:
            self._find(
                "told",
                f"buyer {buyer.id}: {told.state} of {told.rid} after {known.state}",
                f"{known.state} {told.state}",
            )
