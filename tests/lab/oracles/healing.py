"""Healing: a system that heals itself hides its defects. So no freeze and no rebuild without a
cause, and none that waits for a person.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from miaosha.domain.freezes import waits_for_person
from tests.lab.oracles.always import CLOCK_EVENTS

if TYPE_CHECKING:
    from tests.lab.process import Process
    from tests.lab.world import World

LOST: Final = ("Redis was restarted", "Redis knows nothing")
EPOCHS_A_CAUSE: Final = 2  # rebuilds of one cause: two may see it
LOSSES: Final = (  # events that lose Redis, or set it or its clock back
    *("store restarts", "store forgets", "store set back", "store fails over"),
    *CLOCK_EVENTS,
)
STOPS: Final = ("store away", "sql away", "broker away", "sql busy", "disk full", "broker restarts")
REBUILDING: Final = ("lower", "rebuild")  # what staff do that rebuilds

LEASE: Final = "SELECT owner FROM leases WHERE name = ? AND owner != ''"
EPOCH: Final = "SELECT epoch, frozen FROM ledger WHERE sale_id = ?"
TERMS: Final = """
    SELECT sales.id, phase, closes_at_ms, stock, sold
    FROM sales JOIN ledger ON ledger.sale_id = sales.id
"""


class Healing:
    def __init__(self, world: "World", find: Callable[..., None]) -> None:
        self._world = world
        self._find = find
        self._begun: Counter[int] = Counter()
        self._epochs: dict[int, int] = {}
        self._written = 0  # writes to SQL, when last looked
        self._shown: dict[int, tuple[str, int] | None] = {}
        self._differs: dict[int, list[str]] = {}
        self._whole: dict[int, int] = {}  # epochs of sales that need no rebuild
        self._last: tuple[Process, str] | None = None
        self._read_s: dict[str, float] = {}  # when each process read a sale's counters last
        self._said: dict[int, tuple[tuple[str, int], float]] = {}
        self._freezes: Counter[int] = Counter()
        # who began a rebuild, of which sale, and what SQL said of it then
        self._rebuilders: dict[tuple[Process, int], tuple[str, int] | None] = {}
        self._stopped: Counter[int] = Counter()  # rebuilds that something befell

    def event(self, who: str, event: Mapping[str, Any]) -> None:
        if event.get("event") == "rebuilt":
            over = (who, event["sale_id"])
            self._rebuilders = {
                (p, of): said for (p, of), said in self._rebuilders.items() if (p.name, of) != over
            }
        if event.get("event") == "sale_frozen":
            self._freezes[event["sale_id"]] += 1
            self._frozen(who, event["sale_id"], str(event["why"]))
        if event.get("event") == "audit_broken":
            self._differs[event["sale_id"]] = list(event["findings"])
        if event.get("event") == "grant_refused":
            self._find(
                "healing",
                f"sale {event['sale_id']}: Redis promised what SQL refused ({event['why']})",
                "grant refused",
            )

    def _frozen(self, who: str, sale_id: int, why: str) -> None:
        self._world.counts["look healing"] += 1
        if waits_for_person(why):
            self._find("healing", f"sale {sale_id} is frozen for a person: {why}", "manual")
        elif why.startswith("audit:") and self._left_to_audit(sale_id, who):
            self._find(
                "healing",
                f"sale {sale_id} was lost from Redis, and {who} left that to the audit: {why}",
                "left to the audit",
            )
        elif why.startswith("audit:") and self._world.quiet() and not self._left_lease(sale_id):
            self._find(
                "healing",
                f"sale {sale_id} is frozen, and nothing has happened for long: {why}",
                "audit",
            )

    def _left_to_audit(self, sale_id: int, who: str) -> bool:
        """Whether all that differs is that Redis was restarted or emptied. A scheduler sees that by
        itself, unless somebody who died has the lease of a rebuild."""
        differs = self._differs.get(sale_id, ())
        lost = all(any(word in said for word in LOST) for said in differs)
        leases = self._world.sql.ask(LEASE, f"rebuild:{sale_id}")
        return lost and self._world.steady(who) and not any(leases)

    def _left_lease(self, sale_id: int) -> bool:
        """Whether somebody who died has the lease of a rebuild: nobody else may begin one."""
        living = {f"{process.name}-{process.start_number}" for process in self._world.living()}
        leases = self._world.sql.ask(LEASE, f"rebuild:{sale_id}")
        return any(owner.rpartition(":")[0] not in living for (owner,) in leases)

    def befell(self, process: "Process") -> None:
        """A call of this process went wrong, or it is gone: a rebuild of its may begin again."""
        for by, sale_id in self._rebuilders:
            self._stopped[sale_id] += by is process

    def calls(self, process: "Process", call: str, *, again: bool) -> None:
        """`call` is the next one: what the last one did is seen now. A phase that arrives twice is
        nobody's look at SQL."""
        late = again and call == "store.set_phase"
        last, self._last = self._last, None if late else (process, call)
        if last is not None:
            self._done(*last)
        if call == "store.set_phase":
            self._shown = {sale_id: self._in_redis(sale_id) for sale_id in self._said}
        elif call == "store.reading":
            self._read_s[process.name] = self._world.loop.time()
        elif call == "sql.SqlRebuilds.begin":
            sales = self._world.oracles.sales
            self._whole = {sale_id: epoch for sale_id in sales if (epoch := self._epoch(sale_id))}

    def _done(self, process: "Process", call: str) -> None:
        if call == "sql.SqlRebuilds.begin":
            self._begun_by(process)
        if self._world.sql.writes != self._written:
            self._written = self._world.sql.writes
            self._look(process, closing=call == "sql.SqlSaleTerms.close")
        elif call == "store.set_phase" and process.role == "scheduler":
            self._told(process)

    def _look(self, process: "Process", *, closing: bool) -> None:
        """Since when SQL says what it says of each sale."""
        world = self._world
        for sale_id, phase, closes_at_ms, stock, sold in world.sql.ask(TERMS):
            said = ("paused" if phase == "paused" else "open", closes_at_ms)
            known = self._said.get(sale_id)
            if known is None or known[0] != said:
                self._said[sale_id] = (said, world.loop.time())
            closed = closing and known is not None and known[0][1] != closes_at_ms
            if closed and process.role == "scheduler" and sold < stock:
                self._find(
                    "healing", f"sale {sale_id} is closed with {stock - sold} unsold", "closed"
                )

    def _told(self, process: "Process") -> None:
        """A scheduler told Redis a phase. What it read of SQL must not be older than Redis."""
        self._world.counts["look healing"] += 1
        for sale_id, (said, since_s) in self._said.items():
            shown = self._in_redis(sale_id)
            if shown is None or shown == self._shown.get(sale_id):
                continue
            if shown == self._rebuilders.get((process, sale_id)):  # a rebuild that lasted
                continue
            if since_s < self._read_s.get(process.name, 0.0) and shown != said:
                self._find(
                    "healing",
                    f"sale {sale_id} is {shown} in Redis, by terms that SQL left before Redis"
                    f" was read: {said}",
                    "old terms",
                )

    def _in_redis(self, sale_id: int) -> tuple[str, int] | None:
        """What Redis says of a sale that is not frozen there."""
        sale = self._world.allocation(sale_id)
        if sale is None or not sale.epoch or sale.phase == "frozen":
            return None
        return sale.phase, sale.closes_at_ms

    def _epoch(self, sale_id: int) -> int:
        """The epoch of a sale that needs no rebuild; 0: it needs one."""
        world = self._world
        epoch, frozen = world.sql.ask(EPOCH, sale_id)[0]
        allocation = world.allocation(sale_id)
        whole = allocation is not None and allocation.epoch == epoch and world.genuine(sale_id)
        return int(epoch) if whole and frozen is None else 0

    def _begun_by(self, process: "Process") -> None:
        """A rebuild may have begun."""
        world = self._world
        world.counts["look healing"] += 1
        for sale_id in world.oracles.sales:
            now = world.sql.ask(EPOCH, sale_id)[0][0]
            if now != self._epochs.get(sale_id, 0):
                self._begun[sale_id] += 1
                self._rebuilders[process, sale_id] = self._said.get(sale_id, (None,))[0]
            self._epochs[sale_id] = now
            needless = self._whole.get(sale_id, now) != now and process.role == "scheduler"
            if needless and not any(world.counts[f"event {event}"] for event in CLOCK_EVENTS):
                self._find(
                    "healing", f"sale {sale_id} is rebuilt, and nothing was lost", "needless"
                )

    def judge(self) -> None:
        """At the end: no sale was rebuilt more often than something may have been lost."""
        counts = self._world.counts
        lost = 1 + sum(counts[f"event {event}"] for event in LOSSES)  # and once it is armed
        stops = sum(counts[f"event {event}"] for event in STOPS)
        for sale_id, begun in sorted(self._begun.items()):
            counts["look healing"] += 1
            asked = sum(counts[f"act {act} {sale_id}"] for act in REBUILDING)
            causes = lost + asked + self._freezes[sale_id]
            stopped = self._stopped[sale_id] + (stops if causes > 1 else 0)
            if begun > EPOCHS_A_CAUSE * causes + stopped:
                self._find(
                    "healing",
                    f"sale {sale_id} was rebuilt {begun} times for {causes} causes, and stopped"
                    f" {stopped} times",
                    "rebuilt too often",
                )
