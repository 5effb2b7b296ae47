"""Presses: what one buyer pressed in a running sale, found in the broker's log.

The log is in order of time and has no index by buyer, so it is read through, within bounds. This is
for support, one buyer at a time, never for the buyer's own page.
"""

import asyncio
from typing import Final

import msgspec

from miaosha.domain.errors import DependencyDown
from miaosha.domain.place import Letter
from miaosha.ports.broker import Broker
from miaosha.ports.store import Decisions

BATCHES_MAX: Final = 20_000  # read of one log
PRESSES_MAX: Final = 200  # told
READ_WITHIN_S: Final = 5.0
NO_MARKER: Final = ""  # no batch has this id, so the log is read to its end


class PressLine(msgspec.Struct, frozen=True):
    """One accepted request. `outcome`: held, standby, repeat (there was a place already),
    sold_out, closed, or queued while its batch is not decided."""

    request_id: str
    accepted_at_ms: int
    outcome: str


class Presses:
    def __init__(self, broker: Broker, store: Decisions, read_within_s: float = READ_WITHIN_S):
        self._broker = broker
        self._store = store
        self._read_within_s = read_within_s

    async def of(self, sale_id: int, user_id: int) -> list[PressLine] | None:
        """Oldest first, at most PRESSES_MAX; None if the log could not be read in time, or is
        longer than BATCHES_MAX."""
        found: list[tuple[str, int, int]] = []
        try:
            async with asyncio.timeout(self._read_within_s):
                if not await self._search(sale_id, user_id, found):
                    return None
                return [
                    PressLine(
                        f"{batch_id}.{index}", at_ms, await self._told(sale_id, batch_id, index)
                    )
                    for batch_id, index, at_ms in found[:PRESSES_MAX]
                ]
        except (TimeoutError, DependencyDown):
            return None

    async def _search(self, sale_id: int, user_id: int, found: list[tuple[str, int, int]]) -> bool:
        """Whether the log was read to its end; what is the user's goes to `found`."""
        await self._broker.ping()
        batches = 0
        try:
            async for batch in self._broker.replay(sale_id, NO_MARKER):
                batches += 1
                if batches > BATCHES_MAX:
                    return False
                found += [
                    (batch.batch_id, index, batch.accepted_at_ms)
                    for index, user in enumerate(batch.user_ids)
                    if user == user_id
                ]
        except DependencyDown:  # the log ended, as it must without a marker
            return True
        return True

    async def _told(self, sale_id: int, batch_id: str, index: int) -> str:
        letter = await self._store.letter(sale_id, batch_id, index)
        return Letter(letter).name.lower() if letter else "queued"
