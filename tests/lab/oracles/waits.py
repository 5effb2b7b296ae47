"""Waits: once faults have ended nothing lasts longer than it may."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from miaosha.domain.reservation import GRACE_MS
from miaosha.usecases.rebuild_lease import LEASE_S

if TYPE_CHECKING:
    from tests.lab.world import World

LOOK_S: Final = 0.5
SETTLING_S: Final = 6.0  # leases end, the dead one's batches are taken over, clocks are believed
OVERDUE_MS: Final = 5_000  # a hold past pay_by and grace
IDLE_S: Final = 5.0  # a free unit while somebody stands by; a decision that SQL was not asked for
UNDECIDED_S: Final = 8.0
REBUILT_S: Final = LEASE_S + 15.0  # whoever died amid a rebuild has lost its lease by then
TERMS: Final = """
    SELECT frozen, phase, closes_at_ms, stock, epoch
    FROM sales JOIN ledger ON ledger.sale_id = sales.id WHERE sales.id = ?
"""
OVERDUE: Final = (
    "SELECT rid FROM holds WHERE sale_id = ? AND state = 'HELD' AND pay_by_ms < ? LIMIT 1"
)


class Waits:
    def __init__(self, world: "World", find: Callable[..., None]) -> None:
        self._world = world
        self._find = find
        self._since: dict[tuple[int, str], float] = {}

    async def look(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            now_s = self._world.loop.time()
            calm_s = self._world.calm_s  # even then some meet an end that was drawn before
            calm = calm_s is not None and now_s > max(calm_s, self._world.gone_s) + SETTLING_S
            if not calm and not self._led():
                self._since.clear()
                continue
            for sale_id in self._world.oracles.sales:
                if self._world.phase(sale_id) != "settled":
                    self._world.counts["look waits"] += 1
                    self._sale(sale_id, now_s, calm=calm)

    def _led(self) -> bool:
        """Whether a scheduler leads that has met nothing lately."""
        leader = self._world.leader()
        return leader is not None and self._world.steady(leader.name)

    def _sale(self, sale_id: int, now_s: float, *, calm: bool) -> None:
        world = self._world
        allocation = world.allocation(sale_id)
        frozen, phase, closes_at_ms, stock, epoch = world.sql.ask(TERMS, sale_id)[0]
        whole = allocation is not None and allocation.epoch == epoch and world.genuine(sale_id)
        lost = not whole  # Redis must be rebuilt
        runs = frozen is None and not lost
        overdue_ms = world.now_ms() - GRACE_MS - OVERDUE_MS
        overdue = world.sql.ask(OVERDUE, sale_id, overdue_ms) if frozen is None else []
        idle = ungranted = undecided = other = False
        if runs and allocation is not None:
            idle = bool(allocation.free > 0 and allocation.standby)
            ungranted = bool(allocation.ungranted)
            undecided = calm and self._undecided(sale_id, allocation.batches)
            said = ("paused" if phase == "paused" else "open", closes_at_ms, stock)
            other = (allocation.phase, allocation.closes_at_ms, allocation.stock) != said
        lasting = {
            "frozen": (calm and frozen is not None, REBUILT_S),
            "lost from Redis": (calm and lost, REBUILT_S),
            "with a hold long past its time": (bool(overdue), 3.0),
            "with a free unit and somebody on standby": (idle, IDLE_S),
            "with holds that SQL knows nothing of": (ungranted, IDLE_S),
            "of other terms in Redis than in SQL": (other, IDLE_S),
            "with an accepted request undecided": (undecided, UNDECIDED_S),
        }
        for what, (so, most_s) in lasting.items():
            self._lasts(sale_id, what, so, now_s, most_s)

    def _undecided(self, sale_id: int, batches: dict[str, str]) -> bool:
        if self._world.phase(sale_id) == "paused":
            return False
        return any(
            accepted.rid.rpartition(".")[0] not in batches
            for buyer in self._world.oracles.people
            if buyer.sale_id == sale_id
            for accepted in buyer.accepted
        )

    def _lasts(self, sale_id: int, what: str, so: bool, now_s: float, most_s: float) -> None:
        key = (sale_id, what)
        if not so:
            self._since.pop(key, None)
        elif now_s - self._since.setdefault(key, now_s) > most_s:
            self._find("waits", f"sale {sale_id} is {what} for over {most_s:.0f} s", what)
