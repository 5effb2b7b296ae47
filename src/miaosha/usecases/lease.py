"""Lease: taking it, or waiting for its end; what one process saw of leases, and when.

A lease that its owner has not touched for `ttl_s`, by this process's own steady clock, has ended. A
process that has just come waits for so long at least: it cannot know since when.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from miaosha.ports.clock import Clock
from miaosha.ports.leases import LeaseRow, Leases

SEEN_MAX: Final = 10_000  # leases of others remembered; beyond it the one seen longest ago goes


class _SeenLease(NamedTuple):
    """`since_s`: monotonic s when first seen like this; `moved`: it was seen otherwise before."""

    row: LeaseRow
    since_s: float
    moved: bool


class LeaseCandidate:
    """Args:
    ttl_s: seconds without a sign of life after which a lease has ended.
    """

    def __init__(self, leases: Leases, clock: Clock, ttl_s: float) -> None:
        self._leases = leases
        self._clock = clock
        self._ttl_s = ttl_s
        self._seen: dict[str, _SeenLease] = {}

    async def take(
        self, name: str, owner: str, took: Callable[[LeaseRow | None], None] | None = None
    ) -> bool:
        """Take or prolong the lease `name` for `owner`; whether `owner` has it now.

        Args:
            took: hears of a lease that was not `owner`'s before, with its row as it was (None:
                there was none).
        """
        until_ms = self._clock.now_ms() + round(self._ttl_s * 1000)
        row, before = await self._leases.take(name, owner, until_ms, self._dead(name))
        if row.owner == owner:
            self._seen.pop(name, None)
            if took is not None and (before is None or before.owner != owner):
                took(before)
            return True
        seen = self._seen.pop(name, None)
        if seen is None or seen.row != row:
            seen = _SeenLease(row, self._clock.monotonic(), moved=seen is not None)
        self._seen[name] = seen  # the one seen last stands last
        while len(self._seen) > SEEN_MAX:
            del self._seen[next(iter(self._seen))]
        return False

    def moved(self, name: str) -> bool:
        """Whether the lease's owner has shown that it lives, since it was seen first."""
        seen = self._seen.get(name)
        return seen is not None and seen.moved

    async def free(self, name: str, owner: str) -> None:
        """Give it up: nobody owns it then. The next owner still reads its time."""
        await self._leases.free(name, owner)

    async def drop(self, name: str, owner: str) -> None:
        """It is gone."""
        await self._leases.drop(name, owner)

    def _dead(self, name: str) -> LeaseRow | None:
        seen = self._seen.get(name)
        if seen is None or self._clock.monotonic() - seen.since_s < self._ttl_s:
            return None
        return seen.row
