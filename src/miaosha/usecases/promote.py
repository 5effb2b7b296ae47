"""Promotion: keeps units from lying idle. It grants what was left on `ungranted`, promotes standby
onto free units, and tells the head of the line where it stands.
"""

from miaosha.domain.allocation import PROMOTE_MAX, Refusal
from miaosha.domain.messages import Standby
from miaosha.ports.holds import GrantRefusal, Winner
from miaosha.ports.store import Decisions
from miaosha.usecases.announce import Announcer
from miaosha.usecases.grant import Granter, winner

HEADS_TOLD = 1_000  # buyers near the head of standby who are told their position
UNGRANTED_MAX = 512


class Promoter:
    def __init__(self, store: Decisions, granter: Granter, announcer: Announcer) -> None:
        self._store = store
        self._granter = granter
        self._announcer = announcer
        self._told: dict[int, dict[int, int]] = {}

    async def grant_left_over(self, sale_id: int, older_than_ms: int) -> int:
        """Grant holds whose consumer died between Redis and SQL; returns how many."""
        epoch, left = await self._store.ungranted(
            sale_id, older_than_ms=older_than_ms, limit=UNGRANTED_MAX
        )
        if not left:
            return 0
        winners = [Winner(u.rid, u.user_id, u.rank, u.version, u.promoted) for u in left]
        granted = await self._granter.grant(sale_id, epoch, winners)
        return 0 if isinstance(granted, GrantRefusal) else len(granted)

    async def promote(self, sale_id: int, epoch: int) -> int:
        """Promote while units are free and somebody stands by; grant and tell them at once."""
        total = 0
        while True:
            promoted = await self._store.promote(sale_id, epoch)
            if isinstance(promoted, Refusal) or not promoted:
                return total
            await self._granter.grant(sale_id, epoch, [winner(p) for p in promoted])
            total += len(promoted)
            if len(promoted) < PROMOTE_MAX:
                return total

    async def tell_positions(self, sale_id: int) -> None:
        """Tell the first of the line whose position changed since the last call."""
        heads = await self._store.heads(sale_id, HEADS_TOLD)
        before = self._told.get(sale_id, {})
        self._told[sale_id] = {head.user_id: head.position for head in heads}
        await self._announcer.positions(
            [
                Standby(sale_id, head.user_id, head.position, head.version)
                for head in heads
                if before.get(head.user_id) != head.position
            ]
        )

    def forget(self, sale_ids: set[int]) -> None:
        """Keep positions only of these sales."""
        self._told = {sale: told for sale, told in self._told.items() if sale in sale_ids}
