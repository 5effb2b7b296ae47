"""Rest: what is left when everything has come to its end."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from miaosha.adapters.sql.auditing import SqlLedgerReader
from miaosha.usecases.audit import Auditor
from tests.lab.broker import LabQueueReader
from tests.lab.link import straight
from tests.lab.sql import LabDatabase
from tests.lab.store_readers import LabStoreReader

if TYPE_CHECKING:
    from tests.lab.world import World


OPEN: Final = """
    SELECT count(*) FROM holds
    WHERE sale_id = ? AND (state IN ('HELD', 'PAYING') OR NOT synced)
"""


class Rest:
    def __init__(self, world: "World", find: Callable[..., None]) -> None:
        self._world = world
        self._find = find

    def not_settled(self) -> None:
        """Too much time has passed since faults ended."""
        world = self._world
        for sale_id in world.oracles.sales:
            if world.phase(sale_id) != "settled":
                ledger = world.sql.ask("SELECT * FROM ledger WHERE sale_id = ?", sale_id)[0]
                self._find("rest", f"sale {sale_id} is not settled: {ledger}", "not settled")

    async def judge(self) -> None:
        world = self._world
        auditor = Auditor(
            SqlLedgerReader(LabDatabase(world.sql, straight)),
            LabStoreReader(world.store, straight),
            LabQueueReader(world.broker, straight),
        )
        for sale_id in world.oracles.sales:
            world.counts["look rest"] += 1
            verdict = await auditor.audit(sale_id)
            if not verdict.clean:
                said = "; ".join(f"{f.invariant} {f.detail}" for f in verdict.findings)
                self._find("rest", f"sale {sale_id}: {said}", "audit")
            if world.phase(sale_id) == "settled" and world.allocation(sale_id) is not None:
                self._find("rest", f"sale {sale_id} is settled, and Redis still has it", "left")
            states = world.sql.ask(OPEN, sale_id)
            if world.phase(sale_id) == "settled" and states[0][0]:
                self._find(
                    "rest", f"sale {sale_id} is settled with {states[0][0]} open holds", "open"
                )
