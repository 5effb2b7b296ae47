"""Always: the sums of both stores, after every call that may have changed one.

On the way it sees every move that a place or a hold makes, which `coverage` counts.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from miaosha.adapters.clock import ROUND_TRIP_MAX_S, STEP_MAX_MS
from miaosha.domain.allocation import Allocation
from miaosha.domain.reservation import GRACE_MS, MAX_ATTEMPTS, State
from tests.lab.faults import Mishap

if TYPE_CHECKING:
    from tests.lab.world import World

Find = Callable[..., None]

EARLY_MS: Final = 100  # roundings, beside the way of the answer that a clock went by
STUCK_MS: Final = round(ROUND_TRIP_MAX_S / 2 * 1000)  # an answer that was stuck says this too much
FOLLOWED_MS: Final = STEP_MAX_MS + 1_000  # of a clock that was set, without its being noticed
CLOCK_EVENTS: Final = ("clock jumps", "clock stays set")
STUCK: Final = (Mishap.SLOW, Mishap.LATE)
LEDGER: Final = "SELECT sale_id, stock, granted, sold FROM ledger"
HOLDS: Final = "SELECT rid, sale_id, state, reason, pay_by_ms, attempt FROM holds"
ORDERS: Final = "SELECT sale_id, count(*) FROM orders GROUP BY sale_id"


class Always:
    """Attributes: moves: how often each was seen, by `from → to`."""

    def __init__(self, world: "World", find: Find) -> None:
        self._world = world
        self._find = find
        self._written = (0, 0)  # writes to Redis and to SQL, when last looked
        self._rows: dict[str, Any] = {}
        self._places: defaultdict[int, dict[int, tuple[str, State]]] = defaultdict(dict)
        self.moves: Counter[str] = Counter()

    def look(self) -> None:
        """Before the next call: whatever the last one did is done."""
        world = self._world
        written = world.store.writes, world.sql.writes
        before, self._written = self._written, written
        if written[0] != before[0]:
            for sale_id in world.oracles.sales:
                allocation = world.allocation(sale_id)
                if allocation is not None:
                    world.counts["look always"] += 1
                    self._redis(sale_id, allocation)
        if written[1] != before[1]:
            world.counts["look always"] += 1
            self._books()

    def _redis(self, sale_id: int, sale: Allocation) -> None:
        held = standing = 0
        before, after = self._places[sale_id], {}
        for user, place in sale.users.items():
            held += place.state is State.HELD
            standing += place.state is State.STANDBY
            after[user] = now = (place.rid, place.state)
            if (was := before.get(user)) != now:
                self.moves[f"{was[1] if was else State.NONE} → {place.state}"] += 1
        self._places[sale_id] = after
        if not sale.epoch:
            return
        if sale.free + sale.held + sale.paid != sale.stock or min(sale.free, sale.held) < 0:
            self._find(
                "always",
                f"sale {sale_id}: {sale.free} free + {sale.held} held + {sale.paid} paid"
                f" of {sale.stock} in Redis",
                "sums in Redis",
            )
        if standing != len(sale.standby):
            line = len(sale.standby)
            self._find("always", f"sale {sale_id}: {standing} stand by, {line} in line", "line")
        if held > sale.held:
            self._find(
                "always", f"sale {sale_id}: {held} places held, {sale.held} counted", "places"
            )

    def _books(self) -> None:
        sql = self._world.sql
        live: Counter[int] = Counter()
        paid: Counter[int] = Counter()
        rows = {}
        for row in sql.ask(HOLDS):
            rid, sale_id, state = row[:3]
            rows[rid] = row
            if state != "RELEASED":
                live[sale_id] += 1
                paid[sale_id] += state == "PAID"
            if (was := self._rows.get(rid)) != row:
                self._moved(was, row)
        self._rows = rows
        orders = dict(sql.ask(ORDERS))
        for sale_id, stock, granted, sold in sql.ask(LEDGER):
            if granted != live[sale_id] or granted > stock:
                self._find(
                    "always",
                    f"sale {sale_id}: {granted} granted of {stock}, {live[sale_id]} live in SQL",
                    "granted",
                )
            if not sold == paid[sale_id] == orders.get(sale_id, 0):
                self._find(
                    "always",
                    f"sale {sale_id}: {sold} sold, {paid[sale_id]} paid holds,"
                    f" {orders.get(sale_id, 0)} orders in SQL",
                    "sold",
                )

    def _moved(self, was: Any, row: Any) -> None:
        rid, _, state, reason, pay_by_ms, attempt = row
        before = was[2] if was else "none"
        if before != state:
            self.moves[f"{before} → {reason.upper() if reason else state}"] += 1
        if state != "RELEASED" or reason != "expired" or before == state:
            return
        over_ms = pay_by_ms if before == "PAYING" else pay_by_ms + GRACE_MS
        early_ms = over_ms - (self._world.now_ms() - self._world.clock_ahead_ms)
        tried = before == "PAYING" and attempt >= MAX_ATTEMPTS
        if early_ms > self._early_ms() and not tried:
            self._find("always", f"hold {rid} ended {early_ms} ms before its time", "early")

    def _early_ms(self) -> int:
        """What the clock of a process may be ahead."""
        world = self._world
        if any(world.counts[f"event {event}"] for event in CLOCK_EVENTS):
            return FOLLOWED_MS
        stuck = any(kind in STUCK for _, kind in world.weather.happened)
        untold = world.counts["event store away"] or any(  # whoever begins has its machine's clock
            call.startswith("store.now_ms") for call, _ in world.weather.happened
        )
        return (
            EARLY_MS
            + round(2_000 * world.plan.moment_s)
            + (STUCK_MS if stuck else 0)
            + (round(1_000 * world.plan.skew_s) if untold else 0)
        )
