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


class Healing:
    def __init__(self, world: "World", find: Callable[..., None]) -> None:
        self._world = world
        self._find = find
        self._begun: Counter[int] = Counter()

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
        elif why.startswith("audit:") and not self._world.lossy():
            self._find(
                "healing", f"sale {sale_id} is frozen, and nothing was lost: {why}", "no loss"
            )

    def calls(self, process: "Process", call: str) -> None:
        if call == "sql.SqlRebuilds.begin":
            for sale_id in self._world.oracles.sales:
                self._needed(process, sale_id)

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
