"""Healing: a system that heals itself hides its defects. So no freeze and no rebuild without a
cause, and none that waits for a person.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from miaosha.domain.freezes import waits_for_person

if TYPE_CHECKING:
    from tests.lab.process import Process
    from tests.lab.world import World

EPOCHS_A_CAUSE: Final = 6  # rebuilds that one cause may need, each begun again after a fault

TERMS: Final = """
    SELECT sales.id, phase, closes_at_ms, stock, sold
    FROM sales JOIN ledger ON ledger.sale_id = sales.id
"""


class Healing:
    def __init__(self, world: "World", find: Callable[..., None]) -> None:
        self._world = world
        self._find = find
        self._begun: Counter[int] = Counter()
        self._last: tuple[Process, str] | None = None
        self._read_s: dict[str, float] = {}  # when each process read a sale's counters last
        self._said: dict[int, tuple[tuple[str, int], float]] = {}

    def event(self, event: Mapping[str, Any]) -> None:
        if event.get("event") == "sale_frozen":
            self._frozen(event["sale_id"], str(event["why"]))
        if event.get("event") == "grant_refused":
            self._find(
                "healing",
                f"sale {event['sale_id']}: Redis promised what SQL refused ({event['why']})",
                "grant refused",
            )

    def _frozen(self, sale_id: int, why: str) -> None:
        if waits_for_person(why):
            self._find("healing", f"sale {sale_id} is frozen for a person: {why}", "manual")
        elif why.startswith("audit:") and self._world.quiet():
            self._find(
                "healing",
                f"sale {sale_id} is frozen, and nothing has happened for long: {why}",
                "audit",
            )

    def calls(self, process: "Process", call: str) -> None:
        """`call` is the next one: what the last one did is seen now."""
        last, self._last = self._last, (process, call)
        if last is not None:
            self._done(*last)
        if call == "store.reading":
            self._read_s[process.name] = self._world.loop.time()
        elif call == "sql.SqlRebuilds.begin":
            for sale_id in self._world.oracles.sales:
                self._needed(process, sale_id)

    def _done(self, process: "Process", call: str) -> None:
        if call.startswith("sql."):
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
        for sale_id, (said, since_s) in self._said.items():
            sale = self._world.allocation(sale_id)
            read_s = self._read_s.get(process.name, 0.0)
            if sale is None or not sale.epoch or sale.phase == "frozen" or since_s >= read_s:
                continue
            if (sale.phase, sale.closes_at_ms) != said:
                self._find(
                    "healing",
                    f"sale {sale_id} is {sale.phase} until {sale.closes_at_ms} in Redis,"
                    f" by terms that SQL left before Redis was read: {said}",
                    "old terms",
                )

    def _needed(self, process: "Process", sale_id: int) -> None:
        """Only one sale is there to be rebuilt, or the oracle cannot tell which it is."""
        world = self._world
        self._begun[sale_id] += 1
        if len(world.oracles.sales) > 1 or process.role != "scheduler" or world.disturbed(process):
            return
        epoch, frozen = world.sql.ask(
            "SELECT epoch, frozen FROM ledger WHERE sale_id = ?", sale_id
        )[0]
        allocation = world.allocation(sale_id)
        whole = allocation is not None and allocation.epoch == epoch and world.genuine(sale_id)
        if frozen is None and whole and not world.counts["event clock jumps"]:
            self._find("healing", f"sale {sale_id} is rebuilt, and nothing was lost", "needless")

    def judge(self) -> None:
        causes = 2 + self._world.causes()
        for sale_id, begun in sorted(self._begun.items()):
            if begun > EPOCHS_A_CAUSE * causes:
                self._find(
                    "healing", f"sale {sale_id} was rebuilt {begun} times for {causes} causes"
                )
