"""Inspection: audits of a whole sale, which take a minute for a million units sold.

While one is under way, SQL says so, and how far it is.
"""

import asyncio
import contextlib
import itertools
from typing import Final

from miaosha.domain.errors import Fault
from miaosha.ports.audits import AuditRun, Audits
from miaosha.ports.clock import Clock
from miaosha.usecases.audit import Auditor, Verdict

QUIET_S: Final = 1.0  # an audit that ends sooner is not written down: most do
BEAT_S: Final = 2.0


class Inspector:
    """Args: owner: unique per process and start."""

    def __init__(self, auditor: Auditor, audits: Audits, clock: Clock, owner: str) -> None:
        self._auditor = auditor
        self._audits = audits
        self._clock = clock
        self._owner = owner
        self._numbers = itertools.count(1)

    def begin(self, sale_id: int) -> "Inspection":
        owner = f"{self._owner}:{next(self._numbers)}"[-80:]
        return Inspection(self._auditor, self._audits, self._clock, owner, sale_id)

    async def audit(self, sale_id: int) -> Verdict:
        """Raises as `Auditor.audit`. Two at once, in any processes, do no harm: of the later one
        nothing is written down."""
        return await self.begin(sale_id).run()


class Inspection:
    """One audit. Attributes: looked: rows, places and batches so far."""

    def __init__(
        self, auditor: Auditor, audits: Audits, clock: Clock, owner: str, sale_id: int
    ) -> None:
        self._auditor = auditor
        self._audits = audits
        self._clock = clock
        self._owner = owner
        self._sale_id = sale_id
        self._started_at_ms = clock.now_ms()
        self._looked = 0
        self._written = False

    @property
    def state(self) -> AuditRun:
        return AuditRun(self._started_at_ms, self._looked)

    async def run(self) -> Verdict:
        """Raises as `Auditor.audit`."""
        telling = asyncio.create_task(self._tell(), name=f"audit:{self._sale_id}")
        try:
            return await self._auditor.audit(self._sale_id, self._told)
        finally:
            telling.cancel()
            await asyncio.wait({telling})
            if self._written:
                with contextlib.suppress(Fault):  # it is seen to be dead
                    await self._audits.end(self._sale_id, self._owner)

    def _told(self, looked: int) -> None:
        self._looked = looked

    async def _tell(self) -> None:
        await asyncio.sleep(QUIET_S)
        while True:
            with contextlib.suppress(Fault):  # told again in a moment
                await self._beat()
            await asyncio.sleep(BEAT_S)

    async def _beat(self) -> None:
        now_ms = self._clock.now_ms()
        if self._written:
            await self._audits.beat(self._sale_id, self._owner, self._looked, now_ms)
        else:
            self._written = await self._audits.begin(self._sale_id, self._owner, self.state, now_ms)
