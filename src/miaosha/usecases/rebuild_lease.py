"""Rebuild lease: which process may rebuild a sale."""

import asyncio
import contextlib
from typing import Final

from miaosha.ports.clock import Clock
from miaosha.usecases.lease import LeaseCandidate

LEASE_S: Final = 30.0
PATIENCE_S: Final = 40.0  # of a person: whoever died amid a rebuild has lost its lease by then
LOOK_S: Final = 0.5  # at a lease that another has


class Superseded(Exception):
    """Another rebuild, or a freeze, has moved the epoch on: this one stops where it is."""


class RebuildLease:
    """The lease of one rebuild. Every rebuild has an owner name of its own, so that of two in one
    process only one goes on. `rebuilder` is that name; the store knows the rebuild by it."""

    def __init__(self, candidate: LeaseCandidate, clock: Clock, sale_id: int, owner: str) -> None:
        self._candidate = candidate
        self._clock = clock
        self._name = f"rebuild:{sale_id}"
        self._taken_s = 0.0
        self.rebuilder = owner

    async def take(self, patience_s: float = 0.0) -> bool:
        """False: another process rebuilds the sale. If its owner only seems to live, this waits for
        the end of its lease, for at most `patience_s`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s or None):
                while not await self._try():
                    if not patience_s or self._candidate.moved(self._name):
                        return False
                    await asyncio.sleep(LOOK_S)
                return True
        return False

    async def _try(self) -> bool:
        now_s = self._clock.monotonic()
        taken = await self._candidate.take(self._name, self.rebuilder)
        if taken:
            self._taken_s = now_s
        return taken

    async def prolong(self) -> None:
        late = self._clock.monotonic() - self._taken_s >= LEASE_S / 3
        if late and not await self._try():
            raise Superseded("lease")

    async def drop(self) -> None:
        await self._candidate.drop(self._name, self.rebuilder)
