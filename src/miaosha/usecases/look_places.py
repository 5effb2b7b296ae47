"""Places look: what a look reads of Redis: places, counters, the standby line, the records."""

import asyncio
from collections.abc import Iterable

from miaosha.ports.auditing import PlaceSeen
from miaosha.usecases import invariants
from miaosha.usecases.buyer_tally import BuyerTally
from miaosha.usecases.invariants import CountedPlaces
from miaosha.usecases.look_rows import RowsLook, chunks


class PlacesLook(RowsLook):
    async def places(self, cursor: int = 0, pages: int | None = None) -> int:
        """The places from `cursor` on; returns where they go on, 0 at the end. All of them are
        counted against Redis's own counters, if those stood still meanwhile."""
        of_all, left = cursor == 0, pages
        before = await self._readers.store.totals(self._sale_id)
        tallies = {"held": BuyerTally(), "paid": BuyerTally(), "standby": BuyerTally()}
        while left != 0:
            page = await self._readers.store.places(self._sale_id, cursor)
            self.found.add(invariants.i1_unreadable(page.unreadable))
            for place in page.places:
                if (tally := tallies.get(place.state)) is not None:
                    tally.add(place.user_id)
            await self.given(page.places)
            self.count(places=len(page.places))
            cursor, left = page.cursor, None if left is None else left - 1
            if cursor == 0:
                break
        after = await self._readers.store.totals(self._sale_id)
        if not of_all or cursor or before is None or after is None:
            return cursor
        if before.counters == after.counters:
            counted = CountedPlaces(*[await _distinct(tally) for tally in tallies.values()])
            self.found.add(invariants.i1_places(after, counted))
        return cursor

    async def places_of(self, users: Iterable[int]) -> None:
        for some in chunks(users):
            places = await self._readers.store.places_of(self._sale_id, some)
            await self.given(places.values())

    async def given(self, places: Iterable[PlaceSeen]) -> None:
        """Units that Redis gives out, held against the rows. A hold is taken off `ungranted` after
        SQL has it: of one that is not there any more the row is read once more."""
        ledger, store, sale_id = self._readers.ledger, self._readers.store, self._sale_id
        for some in chunks(p for p in places if p.state in ("held", "paid")):
            rows = await ledger.holds(sale_id, {place.rid for place in some})
            odd = [
                place
                for place in some
                if place.state == "held" and not invariants.owes(rows.get(place.rid), place.user_id)
            ]
            ungranted: set[str] = set()
            if odd:
                ungranted = await store.ungranted(sale_id, odd)
                rows |= await ledger.holds(sale_id, {place.rid for place in odd} - ungranted)
            self.found.add(invariants.places_in_sql(some, rows, ungranted))

    async def records(self) -> None:
        """Those nobody can read."""
        cursor, odd = await self._readers.store.odd_records(self._sale_id, 0)
        while True:
            self.found.add(invariants.i1_unreadable(f"record of batch {batch}" for batch in odd))
            if cursor == 0:
                return
            cursor, odd = await self._readers.store.odd_records(self._sale_id, cursor)

    async def heads(self, count: int, last: int) -> bool:
        """The first of the standby line; returns whether these are all.

        Args:
            last: the highest rank that is known to have been promoted; 0: none.
        """
        heads = await self._readers.store.heads(self._sale_id, count)
        self.found.add(invariants.i6(heads, last))
        return len(heads) < count


async def _distinct(tally: BuyerTally) -> int:
    distinct = 0
    for shard in tally.shards():
        distinct += shard.distinct
        await asyncio.sleep(0)
    return distinct
