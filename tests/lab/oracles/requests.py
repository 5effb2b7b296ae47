"""Requests: at the end every press that was accepted has a decision, and its buyer an outcome.

What Redis knows of a sale goes when the sale is settled. So its last whole state is kept here. A
batch that was on its way then is answered `closed` and leaves nothing.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from miaosha.domain.allocation import Allocation
from miaosha.domain.messages import split_rid
from miaosha.domain.reservation import State

if TYPE_CHECKING:
    from tests.lab.people import Accepted, Buyer
    from tests.lab.world import World

ROW: Final = "SELECT 1 FROM holds WHERE rid = ?"
SETTLED: Final = "SELECT 1 FROM sales WHERE id = ? AND phase = 'settled'"
SETTLING_S: Final = 5.0  # at most, from the last look at a sale's queue until it is settled


class Requests:
    def __init__(self, world: "World", find: Callable[..., None]) -> None:
        self._world = world
        self._find = find
        self._written = 0  # writes to Redis, when last looked
        self._last: dict[int, Allocation] = {}
        self._settled_s: dict[int, float] = {}

    def event(self, event: Mapping[str, Any]) -> None:
        """Something was logged."""
        if event.get("event") == "settled":
            self._settled_s.setdefault(event["sale_id"], self._world.loop.time())

    def look(self) -> None:
        """Before the next call."""
        world = self._world
        if world.store.writes == self._written:
            return
        self._written = world.store.writes
        for sale_id in world.oracles.sales:
            sale = world.allocation(sale_id)
            if sale is not None and sale.epoch and world.genuine(sale_id):
                self._last[sale_id] = sale

    def judge(self) -> None:
        """At the end."""
        for buyer in self._world.oracles.people:
            for accepted in buyer.accepted:
                self._world.counts["look waits"] += 1
                self._judge(buyer, accepted)

    def _judge(self, buyer: "Buyer", accepted: "Accepted") -> None:
        sale = self._last.get(buyer.sale_id)
        batch, index = split_rid(accepted.rid)
        if sale is None or len(sale.batches.get(batch, "")) <= index:
            if not self._late(accepted, buyer.sale_id):
                sentence = f"{accepted.rid} of buyer {buyer.id} was never decided"
                self._find("waits", sentence, "never decided")
            return
        place = sale.users.get(buyer.id)
        held = place is not None and (place.rid, place.state) == (accepted.rid, State.HELD)
        if held and not self._world.sql.ask(ROW, accepted.rid):
            self._find("waits", f"{accepted.rid} was held, and never granted", "never granted")

    def _late(self, accepted: "Accepted", sale_id: int) -> bool:
        """Whether the sale was being settled when this came. Whoever settles may die unheard."""
        settled_s = self._settled_s.get(sale_id, 0.0)
        settled = bool(self._world.sql.ask(SETTLED, sale_id))
        return settled and accepted.at_s > settled_s - SETTLING_S

    def unanswered(self, buyer: "Buyer") -> None:
        """Everything has ended, and this buyer still asks."""
        rid = buyer.accepted[-1].rid if buyer.accepted else "a press"
        self._find("waits", f"buyer {buyer.id} never heard what became of {rid}", "unanswered")
