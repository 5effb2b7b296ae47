"""Look: reads a sale's facts in pages, judges each as it comes, and then lets it go.

What is in hand at a time is a page, the differences found (bounded) and eight bytes a unit. A page
takes some milliseconds of the loop. What is on its way between two stores may still look like a
difference; a second look at the same things tells.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from miaosha.domain.errors import DependencyDown, Problem
from miaosha.ports.auditing import LedgerTotals, Logged, StoreTotals
from miaosha.usecases import invariants
from miaosha.usecases.invariants import Difference
from miaosha.usecases.look_places import PlacesLook
from miaosha.usecases.look_rows import Readers, chunks
from miaosha.usecases.patience import PAUSE_S, TRIES

LOST: Final = "lost"  # key of the difference that Redis's state as a whole is not to be used
HEADS_MAX: Final = 10_000  # places of the standby line that are looked at one by one
# Of a sample, beside all counters. A page of rows has 256 holds, one of places about 500.
NEWEST_ROWS: Final = 1_024  # holds won last
OLDER_PAGES: Final = 4  # of rows, going on where the last sample ended
PLACE_PAGES: Final = 8  # likewise
NEWEST_BATCHES: Final = 1_000
HEADS_SAMPLED: Final = 1_000


@dataclass
class Window:
    """Where the next sample of a sale goes on, round and round: the last rid, and a cursor."""

    after: str = ""
    cursor: int = 0


class Look(PlacesLook):
    """Made by `look_at`, which has judged the totals.

    Attributes:
        whole: nothing was left out.
    """

    def __init__(
        self,
        readers: Readers,
        sale_id: int,
        at_ms: int,
        ledger: LedgerTotals,
        store: StoreTotals | None,
    ) -> None:
        super().__init__(readers, sale_id)
        self.at_ms, self.ledger, self.store = at_ms, ledger, store
        self.whole = True
        self._judge_totals()

    def _judge_totals(self) -> None:
        row, store = self.ledger.ledger, self.store
        self.found.add(invariants.i2_counts(self.ledger))
        if row.phase in ("draft", "settled") or not row.epoch:
            return
        if row.frozen is None and (lost := _lost(row.epoch, store)):
            self.found.add([Difference("I1", LOST, lost)])
        elif store is not None and not _lost(store.epoch, store):
            self.used = True
            self.found.add(invariants.i1_sum(store))
            self.found.add(invariants.i5(row.frozen is not None, store))

    async def everything(self) -> None:
        if self.used:
            await self.log()
            await self.places()
            await self.records()
        await self.rows()
        if self.used:
            await self.heads(HEADS_MAX, self._last_promoted())
        await self.repeated_buyers()

    async def sample(self, window: Window) -> None:
        """All counters, and some of the rest; all of it where a sale is not larger than that."""
        newest = await self._readers.ledger.before_newest(self._sale_id, NEWEST_ROWS)
        await self.rows(newest)
        if newest:
            self.whole = False
            window.after = await self.rows(window.after, OLDER_PAGES) or ""
        if self.used:
            await self.units()
            whole = await self.log(NEWEST_BATCHES)
            from_start = window.cursor == 0
            window.cursor = await self.places(window.cursor, PLACE_PAGES)
            whole &= from_start and window.cursor == 0
            whole &= await self.heads(HEADS_SAMPLED, self._last_promoted())
            self.whole &= whole
            if self.whole:
                await self.records()
        await self.seen_buyers()

    async def again(self, earlier: "Look") -> None:
        """What an earlier look found, and nothing else."""
        about = [difference.again for difference in earlier.found if difference.again]
        for rids in chunks({one.rid for one in about if one.rid}):
            await self.judge(await self._readers.ledger.about(self._sale_id, rids))
        users = {one.user_id for one in about if one.user_id}
        await self.buyers(users)
        if not self.used:
            return
        await self._batches([one.batch for one in about if one.batch is not None])
        await self.places_of(users)
        keys = {f"{difference.invariant} {difference.key}" for difference in earlier.found}
        if keys & {"I1 held", "I1 paid", "I6 length"} or any(" unreadable:" in k for k in keys):
            await self.places()
            await self.records()
        if any(key.startswith("I6 ") for key in keys):
            self.last_promoted = max(self.last_promoted, earlier.last_promoted)
            await self.heads(HEADS_MAX, self._last_promoted())
        if keys & {"I7 units", "I8 units"}:
            await self.units()

    async def units(self) -> None:
        """The counters of both stores against each other, if they stand still now."""
        ledger = await self._readers.ledger.totals(self._sale_id)
        store = await self._readers.store.totals(self._sale_id)
        if ledger is None or store is None or self.store is None:
            return
        still = store.counters == self.store.counters and store.ungranted == self.store.ungranted
        if still and ledger[1:] == self.ledger[1:]:
            self.found.add(invariants.units_in_both(ledger, store))

    async def log(self, newest: int | None = None) -> bool:
        """The log against the records; returns whether this was all of it."""
        log = await self._readers.queue.open(self._sale_id)
        if log is None:
            return True
        for tries_left in reversed(range(TRIES)):
            counts = {"batches": 0, "requests": 0, "waiting": 0, "undecodable": 0}
            try:
                async for page in log.pages(newest):
                    await self._batches(page)
                    counts["batches"] += sum(1 for batch in page if batch.batch_id)
                    counts["undecodable"] += sum(1 for batch in page if not batch.batch_id)
                    counts["requests"] += sum(batch.requests for batch in page)
                    counts["waiting"] += sum(batch.open for batch in page)
                break
            except DependencyDown:
                if not tries_left:
                    raise
                await asyncio.sleep(PAUSE_S)
        self.count(**counts)
        return newest is None or counts["batches"] + counts["undecodable"] < newest

    async def _batches(self, batches: Sequence[Logged]) -> None:
        for some in chunks(batches):
            names = {batch.batch_id for batch in some if batch.requests}
            records = await self._readers.store.records(self._sale_id, names)
            self.found.add(invariants.i3(some, records))

    def _last_promoted(self) -> int:
        """After a rebuild (epoch above 1) a lower rank may rightly have come back to the line."""
        return self.last_promoted if self.ledger.ledger.epoch <= 1 else 0


async def look_at(readers: Readers, sale_id: int) -> Look:
    """A look that has read the totals alone. Raises Problem("not_found")."""
    at_ms = await readers.store.now_ms()
    ledger = await readers.ledger.totals(sale_id)
    if ledger is None:
        raise Problem("not_found", f"There is no sale {sale_id}.")
    live = ledger.ledger.phase not in ("draft", "settled")
    store = await readers.store.totals(sale_id) if live else None
    return Look(readers, sale_id, at_ms, ledger, store)


def _lost(epoch: int, store: StoreTotals | None) -> str:
    """Why a sale that is not frozen has no decision state to go by, or ""."""
    if store is None:
        return "Redis knows nothing of this sale: its state was lost and not rebuilt"
    if store.epoch == 0 or store.phase == "frozen":
        return "Redis was left amid a rebuild of this sale"
    if store.epoch != epoch:
        return f"Redis is of epoch {store.epoch}, the ledger of epoch {epoch}: it must be rebuilt"
    if store.genuine is False:
        return "Redis was restarted or failed over and may have lost its last writes"
    return ""
