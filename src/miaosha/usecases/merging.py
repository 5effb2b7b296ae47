"""Merging: the part of a rebuild that merges SQL's rows into Redis's places, in pages.

In hand are a page of rows, its buyers' places, and the newest hold of every buyer, which the
replay needs. Counters are counted from the very rows that were merged.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from miaosha.domain.allocation import Place, Row, merge
from miaosha.domain.reservation import HoldState, State
from miaosha.ports.clock import Clock
from miaosha.ports.holds import Hold, Holds
from miaosha.ports.rebuilding import PAGE, HoldBounds, HoldTimes, RebuildRows, RebuildStore
from miaosha.ports.sale_terms import Terms
from miaosha.usecases.newest import Newest
from miaosha.usecases.rebuild_lease import RebuildLease, Superseded

EXTRA_MS: Final = 60_000  # a live hold has at least this long to pay after its page was read
UNITS_PER_MS: Final = 10  # and a millisecond more for so many units: a large sale takes long


class Merging:
    """Args:
    times: what live holds get.

    Attributes: counted so far.
        rows: of SQL. written: places. held, paid, seq: as `RebuildMeta` wants them.
    """

    def __init__(
        self,
        holds: Holds,
        rebuilds: RebuildRows,
        store: RebuildStore,
        clock: Clock,
        lease: RebuildLease,
        terms: Terms,
        times: HoldTimes,
    ) -> None:
        self._holds = holds
        self._rebuilds = rebuilds
        self._store = store
        self._clock = clock
        self._lease = lease
        self._terms = terms
        self._times = times
        self.newest = Newest()
        self.rows = self.written = self.held = self.paid = self.seq = 0

    async def return_ungranted(self) -> None:
        """Places that hold a unit SQL never granted go back to standby: those whose buyers have no
        row. Of all others the rows tell, or nothing changes."""
        cursor = 0
        while True:
            await self._lease.prolong()
            cursor, chunk = await self._store.scan_places(self._terms.sale_id, cursor)
            held = {user: place for user, place in chunk if place.state is State.HELD}
            for users in _chunks(list(held)):
                known = await self._rebuilds.buyers(self._terms.sale_id, users)
                places = {user: held[user] for user in users if user not in known}
                await self._write(places, {user: merge(p, ()) for user, p in places.items()})
            if cursor == 0:
                return

    async def merge_rows(self) -> None:
        """Every buyer with a row gets the place that follows from the rows and the old place."""
        after = (0, "")
        carried: list[Hold] = []  # the rows of a buyer of whom the next page may have more
        while True:
            await self._lease.prolong()
            page = await self._page(after)
            rows = [*carried, *page]
            carried = []
            if len(page) == PAGE:
                after = (page[-1].user_id, page[-1].rid)
                whole = next(i for i, row in enumerate(rows) if row.user_id == after[0])
                rows, carried = rows[:whole], rows[whole:]
            await self._merge(rows)
            if len(page) < PAGE:
                return

    async def _page(self, after: tuple[int, str]) -> list[Hold]:
        page = await self._holds.page(self._terms.sale_id, after)
        bounds = self._bounds(self._clock.now_ms())
        outside = [hold.rid for hold in page if not bounds.keep(hold)]
        if outside:
            fresh = await self._rebuilds.bring_within(self._terms.sale_id, outside, bounds)
            page = [fresh.get(hold.rid, hold) for hold in page]
        return page

    def _bounds(self, now_ms: int) -> HoldBounds:
        """Nobody loses time by the rebuild, nor does a payment under way. Nobody keeps what a clock
        that was an hour ahead, or behind, has given."""
        terms = self._terms
        soonest_ms = now_ms + EXTRA_MS + terms.granted // UNITS_PER_MS
        longest_s = max(terms.pay_within_s, terms.standby_pay_within_s) + self._times.extend_by_s
        return HoldBounds(
            soonest_ms,
            max(soonest_ms, now_ms + longest_s * 1000),
            soonest_ms - self._times.payment_max_s * 1000,
            now_ms,
        )

    async def _merge(self, rows: Sequence[Hold]) -> None:
        """Rows of whole buyers, in their order."""
        groups = {user: list(group) for user, group in groupby(rows, key=lambda row: row.user_id)}
        for users in _chunks(list(groups)):
            places = await self._store.places_of(self._terms.sale_id, users)
            merged = {user: merge(places.get(user), _rows(groups[user])) for user in users}
            await self._write(places, merged)
        for group in groups.values():
            self.newest.add(group)
        self.rows += len(rows)
        states = [row.state for row in rows]
        self.held += states.count(HoldState.HELD) + states.count(HoldState.PAYING)
        self.paid += states.count(HoldState.PAID)
        self.seq = max([self.seq, *(row.rank for row in rows)])

    async def _write(self, before: dict[int, Place], after: dict[int, Place | None]) -> None:
        changed = {
            user: place
            for user, place in after.items()
            if place is not None and place != before.get(user)
        }
        if changed and not await self._store.merge_places(
            self._terms.sale_id, self._terms.epoch, self._lease.rebuilder, changed
        ):
            raise Superseded("merge")
        self.written += len(changed)


def _rows(holds: Sequence[Hold]) -> list[Row]:
    return [Row(h.rid, h.user_id, h.state, h.reason, h.rank, h.version, h.pay_by_ms) for h in holds]


def _chunks(users: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(users), PAGE):
        yield users[start : start + PAGE]
