"""Rows look: what a look reads of the ledger, a page of rids at a time."""

import asyncio
from collections.abc import Callable, Iterable
from itertools import islice
from typing import NamedTuple, TypeVar

from miaosha.ports.auditing import (
    NAMES_MAX,
    LedgerPage,
    LedgerReader,
    PlaceSeen,
    QueueReader,
    StoreReader,
)
from miaosha.usecases import invariants
from miaosha.usecases.buyer_tally import BuyerTally
from miaosha.usecases.differences import Differences
from miaosha.usecases.invariants import LIVE

LOOKED = ("holds", "orders", "mails", "places", "batches")

T = TypeVar("T")


class Readers(NamedTuple):
    """The three stores as the audit reads them; `told` hears how many rows, places and batches
    have been looked at."""

    ledger: LedgerReader
    store: StoreReader
    queue: QueueReader
    told: Callable[[int], None]


class RowsLook:
    """Attributes:
    used: Redis is this sale's decision state now.
    found: what differs.
    counts: what was looked at.
    """

    def __init__(self, readers: Readers, sale_id: int) -> None:
        self._readers = readers
        self._sale_id = sale_id
        self.used = False
        self.found = Differences()
        self.counts: dict[str, int] = {}
        self.last_promoted = 0  # highest rank
        self._live = BuyerTally()

    async def rows(self, after: str = "", pages: int | None = None) -> str | None:
        """The rows about the rids behind `after`; returns the last rid, None at the end."""
        last: str | None = after
        left = pages
        while last is not None and left != 0:
            page = await self._readers.ledger.page(self._sale_id, last)
            await self.judge(page)
            last = page.last
            left = None if left is None else left - 1
        return last

    async def judge(self, page: LedgerPage) -> None:
        self.found.add(invariants.i2_orders(page))
        self.found.add(invariants.i9(page))
        live = [hold for hold in page.holds if hold.state in LIVE]
        if self.used:
            places: dict[int, PlaceSeen] = {}
            for users in chunks({hold.user_id for hold in live}):
                places |= await self._readers.store.places_of(self._sale_id, users)
            self.found.add(invariants.rows_in_redis(live, places))
        for hold in live:
            self._live.add(hold.user_id)
        promoted = [hold.rank for hold in page.holds if hold.promoted]
        self.last_promoted = max([self.last_promoted, *promoted])
        self.count(
            holds=len(page.holds),
            promoted=len(promoted),
            orders=len(page.orders),
            mails=len(page.mails),
        )

    async def buyers(self, users: Iterable[int]) -> None:
        """How many live holds these have."""
        for some in chunks(users):
            live = await self._readers.ledger.live_holds(self._sale_id, some)
            self.found.add(invariants.i4(live))

    async def seen_buyers(self) -> None:
        """Those with a live hold among the rows of this look."""
        await self.buyers(self._live)

    async def repeated_buyers(self) -> None:
        """Those with more than one among the rows of this look, which were all rows."""
        for shard in self._live.shards():
            await self.buyers(shard.repeated)
            await asyncio.sleep(0)

    def count(self, **more: int) -> None:
        for name, number in more.items():
            self.counts[name] = self.counts.get(name, 0) + number
        self._readers.told(sum(self.counts.get(name, 0) for name in LOOKED))


def chunks(items: Iterable[T]) -> Iterable[list[T]]:
    """As many as one question may name."""
    rest = iter(items)
    while chunk := list(islice(rest, NAMES_MAX)):
        yield chunk
