"""Rebuild: writes a sale's Redis state anew from SQL, from Redis, and from the broker's log.

Arming a scheduled sale is the same with no rows. The steps, in order:
bump the epoch → take Redis's epoch away → marker into the log → merge places by rid, page by page →
counters and the new epoch → replay the log up to the marker → promote → phase → unfreeze.
Each may be the last one before a crash; the frozen row makes the next scheduler begin again. While
the sale is frozen no row comes or goes. Redis is told afterwards of rows paid meanwhile. The lease
stops two rebuilders from bumping each other without end; safety does not depend on it.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Sequence
from typing import Final

import structlog
import uuid_utils

from miaosha.domain.allocation import PROMOTE_MAX, Refusal
from miaosha.domain.errors import DependencyDown, Fault
from miaosha.domain.messages import BATCH_VERSION, Batch
from miaosha.domain.sale import Phase
from miaosha.ports.broker import Broker
from miaosha.ports.clock import StepClock
from miaosha.ports.holds import Holds
from miaosha.ports.leases import Leases
from miaosha.ports.rebuilding import HoldTimes, RebuildMeta, RebuildRows
from miaosha.ports.sale_terms import Terms
from miaosha.ports.store import StockStore
from miaosha.usecases.lease import LeaseCandidate
from miaosha.usecases.merging import Merging
from miaosha.usecases.newest import Newest
from miaosha.usecases.rebuild_lease import LEASE_S, LOOK_S, PATIENCE_S, RebuildLease, Superseded

GIVE_BACK_MAX: Final = int(LEASE_S / LOOK_S)  # tries; by then the lease has ended by itself
REPLAY_CHUNK: Final = 16  # batches whose records are asked for at once: 4 ms of the loop

log = structlog.get_logger()


class Rebuilder:
    """Args:
    owner: unique per process and start; it begins the name of every lease.
    times: what live holds of a rebuilt sale get.
    """

    def __init__(
        self,
        leases: Leases,
        rebuilds: RebuildRows,
        holds: Holds,
        store: StockStore,
        broker: Broker,
        clock: StepClock,
        owner: str,
        times: HoldTimes,
    ) -> None:
        self._rebuilds = rebuilds
        self._holds = holds
        self._store = store
        self._broker = broker
        self._clock = clock
        self._owner = owner
        self._times = times
        self._numbers = itertools.count(1)
        self._candidate = LeaseCandidate(leases, clock, LEASE_S)
        self._left: dict[int, RebuildLease] = {}  # by sale: leases that may still be ours
        self._giving: set[asyncio.Task[None]] = set()

    async def rebuild(
        self,
        sale_id: int,
        why: str,
        *,
        anew: bool = False,
        patient: bool = False,
        seen: Terms | None = None,
    ) -> bool:
        """Rebuild one sale; False if another process rebuilds it, or a later rebuild took over.

        Args:
            why: the reason shown while the sale is frozen, unless it has one already.
            anew: the reason is shown even so.
            patient: wait until the lease of one that died amid a rebuild has ended.
            seen: the terms by which a rebuild is needed; it is not if they have changed since.

        Raises:
            DependencyDown: a store is away; the sale stays frozen and is tried again.
        """
        if left := self._left.get(sale_id):  # an earlier one of ours, over by now
            await left.drop()
            self._left.pop(sale_id, None)
        owner = f"{self._owner}:{next(self._numbers)}"
        lease = RebuildLease(self._candidate, self._clock, sale_id, owner)
        try:
            taken = await lease.take(PATIENCE_S if patient else 0.0)
        except Fault:  # it may be ours, and its answer lost
            self._leave(sale_id, lease)
            raise
        if not taken:
            if patient:  # its last try may have been cut off, and be ours
                self._leave(sale_id, lease)
            return False
        try:
            await self._rebuild(lease, sale_id, why, anew, seen)
        except Superseded as error:
            log.warning("rebuild_superseded", sale_id=sale_id, step=str(error))
            return False
        finally:
            await self._drop(lease, sale_id)
        return True

    async def close_down(self) -> None:
        """Leave what could not be given back to its end."""
        tasks = list(self._giving)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _leave(self, sale_id: int, lease: RebuildLease) -> None:
        """Nobody uses this lease any more. Others, as the scheduler, need not wait for its end."""
        self._left[sale_id] = lease
        task = asyncio.create_task(self._give_back(sale_id, lease), name=f"lease:{sale_id}")
        self._giving.add(task)
        task.add_done_callback(self._giving.discard)

    async def _give_back(self, sale_id: int, left: RebuildLease) -> None:
        """Drop it as soon as SQL can be told, unless our next rebuild of the sale did."""
        for _ in range(GIVE_BACK_MAX):
            await asyncio.sleep(LOOK_S)
            if self._left.get(sale_id) is not left:
                return
            with contextlib.suppress(Fault):
                await left.drop()
                if self._left.get(sale_id) is left:
                    del self._left[sale_id]
                return

    async def _drop(self, lease: RebuildLease, sale_id: int) -> None:
        """The lease of a rebuild that is over. One that SQL could not be told of is dropped before
        our next rebuild of the sale, or as soon as it can be."""
        try:
            await lease.drop()
        except Fault as error:
            self._leave(sale_id, lease)
            log.warning("rebuild_lease_left", sale_id=sale_id, error=str(error))

    async def _rebuild(
        self, lease: RebuildLease, sale_id: int, why: str, anew: bool, seen: Terms | None
    ) -> None:
        # Nothing is begun that cannot go on: each beginning moves the epoch and every held row.
        await self._broker.ping()
        await self._store.now_ms()
        if self._clock.step_ms() or not self._clock.synced():  # holds would get its hours
            raise DependencyDown("clock: it differs from the store's, which is not believed yet")
        terms = await self._rebuilds.begin(sale_id, why, anew=anew, seen=seen)
        if terms is None:
            raise Superseded("settled, or moved on")
        await self._broker.open(sale_id)
        if not await self._store.begin_rebuild(sale_id, terms.epoch, lease.rebuilder):
            raise Superseded("begin")
        marker = await self._mark(sale_id)
        merging = Merging(
            self._holds, self._rebuilds, self._store, self._clock, lease, terms, self._times
        )
        await merging.return_ungranted()
        await merging.merge_rows()
        await self._finish(terms, lease, merging)
        replayed = await self._replay(terms, lease, merging.newest, marker)
        await merging.newest.forget()
        promoted = await self._promote(terms, lease)
        phase = "paused" if terms.phase is Phase.PAUSED else "open"
        await lease.prolong()
        refusal = await self._store.set_phase(
            sale_id, terms.epoch, phase, terms.closes_at_ms, rebuilder=lease.rebuilder
        )
        if refusal is not None or not await self._rebuilds.unfreeze(sale_id, terms.epoch):
            raise Superseded("phase")
        log.info(
            "rebuilt",
            sale_id=sale_id,
            epoch=terms.epoch,
            why=terms.frozen or why,
            rows=merging.rows,
            merged=merging.written,
            replayed=replayed,
            promoted=promoted,
        )

    async def _mark(self, sale_id: int) -> str:
        """Publish the marker. Nothing is decided any more but by this rebuild, so whatever was ever
        acknowledged stands in the log before it (decision 5)."""
        marker = str(uuid_utils.uuid7())
        await self._broker.publish(Batch(BATCH_VERSION, sale_id, marker, self._clock.now_ms(), []))
        return marker

    async def _finish(self, terms: Terms, lease: RebuildLease, merged: Merging) -> None:
        meta = RebuildMeta(
            stock=terms.stock,
            held=merged.held,
            paid=merged.paid,
            seq=merged.seq,
            closes_at_ms=terms.closes_at_ms,
            standby_limit=terms.standby_limit,
        )
        if not await self._store.finish_rebuild(terms.sale_id, terms.epoch, lease.rebuilder, meta):
            raise Superseded("finish")

    async def _replay(self, terms: Terms, lease: RebuildLease, newest: Newest, marker: str) -> int:
        """Decide what the log holds and Redis has no record of, in log order; returns how many.

        A request only gets its buyer's row in two cases. Its rid has a row, or the log has it
        before the buyer's newest row.
        """
        count = 0
        group: list[Batch] = []
        async for batch in self._broker.replay(terms.sale_id, marker):
            group.append(batch)
            if len(group) == REPLAY_CHUNK:
                count += await self._decide(terms, lease, newest, group)
                group = []
        return count + await self._decide(terms, lease, newest, group)

    async def _decide(
        self, terms: Terms, lease: RebuildLease, newest: Newest, batches: Sequence[Batch]
    ) -> int:
        await lease.prolong()
        names = [batch.batch_id for batch in batches]
        recorded = await self._store.recorded(terms.sale_id, names)
        count = 0
        for batch in batches:
            if batch.batch_id not in recorded:
                decision = await self._store.decide(
                    terms.sale_id,
                    terms.epoch,
                    batch,
                    rebuilder=lease.rebuilder,
                    answered=newest.answered(batch),
                )
                if isinstance(decision, Refusal):
                    raise Superseded(f"replay: {decision}")
                count += decision.fresh
                await lease.prolong()
            newest.passed(batch)
        return count

    async def _promote(self, terms: Terms, lease: RebuildLease) -> int:
        """Standby heads onto free units; they stay on `ungranted` until the sale is thawed."""
        total = 0
        while True:
            promoted = await self._store.promote(
                terms.sale_id, terms.epoch, rebuilder=lease.rebuilder
            )
            if isinstance(promoted, Refusal):
                raise Superseded(f"promote: {promoted}")
            total += len(promoted)
            if len(promoted) < PROMOTE_MAX:
                return total
