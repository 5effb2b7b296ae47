"""Rebuilding: what a rebuild needs of the ledger and of the store, beside their everyday ports.

Parts of `ports.ledger.Ledger` and `ports.store.StockStore`, whose first lines hold.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from miaosha.domain.place import Place
from miaosha.domain.reservation import HoldState
from miaosha.ports.holds import Hold
from miaosha.ports.sale_terms import Terms

PAGE: Final = 512  # rows, places or buyers in one call
UNPAID: Final = (HoldState.HELD, HoldState.PAYING)  # holds whose time runs


class HoldTimes(NamedTuple):
    """Seconds: what a buyer may be given once to pay, and what a payment may take."""

    extend_by_s: int
    payment_max_s: int


class HoldBounds(NamedTuple):
    """Where the times of a live hold lie, Unix ms and both ends included: `pay_by_ms` between the
    first two, `paying_since_ms` between the last two."""

    soonest_ms: int
    latest_ms: int
    begun_ms: int
    now_ms: int

    def keep(self, hold: Hold) -> bool:
        """Whether the hold's times lie within, or it is over."""
        if hold.state not in UNPAID:
            return True
        since_ms = hold.paying_since_ms if hold.state is HoldState.PAYING else None
        in_time = since_ms is None or self.begun_ms <= since_ms <= self.now_ms
        return in_time and self.soonest_ms <= hold.pay_by_ms <= self.latest_ms


class RebuildRows(Protocol):
    async def begin(
        self, sale_id: int, why: str, *, anew: bool = False, seen: Terms | None = None
    ) -> Terms | None:
        """epoch + 1, frozen = existing reason or `why` (`anew`: `why`). Returns the new terms; None
        for a draft or settled sale, or if its epoch or freeze is not the one that was `seen`."""

    async def bring_within(
        self, sale_id: int, rids: Sequence[str], bounds: HoldBounds
    ) -> dict[str, Hold]:
        """Move the times of these rows (at most PAGE) to the nearest that `bounds` keep. Returns
        all of them by rid, as they are then."""

    async def buyers(self, sale_id: int, users: Collection[int]) -> set[int]:
        """Which of these (at most PAGE) have a row."""

    async def unfreeze(self, sale_id: int, epoch: int) -> bool:
        """False, with nothing changed, if the epoch had moved."""


class RebuildMeta(NamedTuple):
    """Counters as SQL has them: free = stock - held - paid."""

    stock: int
    held: int
    paid: int
    seq: int
    closes_at_ms: int
    standby_limit: int


class RebuildStore(Protocol):
    """begin → merge* → finish, then decide/promote with `rebuilder`, then set_phase."""

    async def begin_rebuild(self, sale_id: int, epoch: int, rebuilder: str) -> bool:
        """Take the epoch away and remember `epoch` and `rebuilder`; from here to `finish_rebuild`
        every other call returns Refusal.EPOCH. False, and nothing written, over an epoch (or an
        unfinished rebuild) that is not lower than `epoch`."""

    async def scan_places(self, sale_id: int, cursor: int) -> tuple[int, list[tuple[int, Place]]]:
        """A chunk of all places. Cursor 0 starts and ends (as HSCAN: an entry may come twice)."""

    async def places_of(self, sale_id: int, users: Sequence[int]) -> dict[int, Place]:
        """The places of these buyers, at most PAGE."""

    async def merge_places(
        self, sale_id: int, epoch: int, rebuilder: str, places: Mapping[int, Place]
    ) -> bool:
        """Write places (and their standby membership) of an unfinished rebuild; at most PAGE a
        call. False if another rebuild has begun."""

    async def finish_rebuild(
        self, sale_id: int, epoch: int, rebuilder: str, meta: RebuildMeta
    ) -> bool:
        """Write counters and this server's run id, phase frozen, `ungranted` empty, the epoch
        last. `seq` never falls. False if another rebuild has begun."""

    async def recorded(self, sale_id: int, batches: Sequence[str]) -> set[str]:
        """Which of these (at most PAGE) are decided. Deciding one of them again changes nothing."""
