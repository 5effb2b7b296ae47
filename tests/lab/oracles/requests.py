"""Requests: at the end every press that was accepted has a decision, and its buyer an outcome.

What Redis knows of a sale goes when the sale is settled. So its last whole state is kept here.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from miaosha.domain.allocation import Allocation
from miaosha.domain.messages import split_rid
from miaosha.domain.reservation import State

if TYPE_CHECKING:
    from tests.lab.people import Accepted, Buyer
    from tests.lab.world import World

ROW: Final = "SELECT 1 FROM holds WHERE rid = ?"


class Requests:
    def __init__(self, world: "World", find: Callable[..., None]) -> None:
        self._world = world
        self._find = find
        self._written = 0  # writes to Redis, when last looked
        self._last: dict[int, Allocation] = {}

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
            self._find(
                "waits", f"{accepted.rid} of buyer {buyer.id} was never decided", "never decided"
            )
            return
        place = sale.users.get(buyer.id)
        held = place is not None and (place.rid, place.state) == (accepted.rid, State.HELD)
        if held and not self._world.sql.ask(ROW, accepted.rid):
            self._find("waits", f"{accepted.rid} was held, and never granted", "never granted")

    def unanswered(self, buyer: "Buyer") -> None:
        """Everything has ended, and this buyer still asks."""
        rid = buyer.accepted[-1].rid if buyer.accepted else "a press"
        self._find("waits", f"buyer {buyer.id} never heard what became of {rid}", "unanswered")
