"""Write a sale's Redis state anew from SQL, what Redis still has, and the broker's log.

Arming a scheduled sale is the same with no rows. Order (each step may be the last one before a
crash; the frozen row makes the next scheduler begin again): bump the epoch → read SQL → take
Redis's epoch away → marker into the log → merge places by rid → counters and the new epoch → replay
the log up to the marker → promote → phase → unfreeze. The lease keeps two rebuilders from bumping
each other without end; safety does not depend on it.
"""

import asyncio
import contextlib
import itertools
from collections import defaultdict
from collections.abc import Iterable

import structlog
import uuid_utils

from miaosha.domain.allocation import PROMOTE_MAX, Place, Refusal, Row, merge
from miaosha.domain.messages import BATCH_VERSION, Batch, split_rid
from miaosha.domain.reservation import HoldState
from miaosha.domain.sale import Phase
from miaosha.ports.broker import Broker
from miaosha.ports.ledger import Hold, HoldTimes, Ledger, Terms
from miaosha.ports.outside import Clock
from miaosha.ports.store import RebuildMeta, StockStore
from miaosha.usecases.lease import Candidate

LEASE_S = 30.0
PATIENCE_S = 40.0  # of a person: whoever died amid a rebuild has lost its lease by then
LOOK_S = 0.5  # at a lease that another has
MERGE_CHUNK = 512

log = structlog.get_logger()


class Superseded(Exception):
    """Another rebuild, or a freeze, has moved the epoch on: this one stops where it is."""


class _Turn:
    """The lease of one rebuild. Every rebuild has its own, so that two asked for in one process do
    not both have their turn. `rebuilder` is what the store knows it by."""

    def __init__(self, candidate: Candidate, clock: Clock, sale_id: int, owner: str) -> None:
        self._candidate = candidate
        self._clock = clock
        self._name = f"rebuild:{sale_id}"
        self._taken_s = 0.0
        self.rebuilder = owner

    async def take(self, patience_s: float = 0.0) -> bool:
        """False: another is at it. One that only looks as if it were is waited for, for at most
        `patience_s`."""
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


class Rebuilder:
    """Args:
    owner: unique per process and start; it begins the name of every lease.
    times: what holds of a rebuilt sale get.
    """

    def __init__(
        self,
        ledger: Ledger,
        store: StockStore,
        broker: Broker,
        clock: Clock,
        owner: str,
        times: HoldTimes,
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._broker = broker
        self._clock = clock
        self._owner = owner
        self._times = times
        self._turns = itertools.count(1)
        self._candidate = Candidate(ledger, clock, LEASE_S)

    async def rebuild(self, sale_id: int, why: str, *, patient: bool = False) -> bool:
        """Rebuild one sale; False if somebody else is at it or it was superseded.

        Args:
            why: the reason shown while the sale is frozen, unless it has one already.
            patient: wait until the lease of one that died amid a rebuild has ended.

        Raises:
            DependencyDown: a store is away; the sale stays frozen and is tried again.
        """
        owner = f"{self._owner}:{next(self._turns)}"
        turn = _Turn(self._candidate, self._clock, sale_id, owner)
        if not await turn.take(PATIENCE_S if patient else 0.0):
            return False
        try:
            await self._rebuild(turn, sale_id, why)
        except Superseded as error:
            log.warning("rebuild_superseded", sale_id=sale_id, step=str(error))
            return False
        finally:
            await turn.drop()
        return True

    async def _rebuild(self, turn: _Turn, sale_id: int, why: str) -> None:
        # Nothing is begun that cannot go on: each beginning moves the epoch and every held row.
        await self._broker.ping()
        await self._store.now_ms()
        now_ms = self._clock.now_ms()
        terms = await self._ledger.begin_rebuild(sale_id, why, now_ms, self._times)
        if terms is None:
            raise Superseded("settled")
        await self._broker.open(sale_id)
        holds = await self._ledger.sale_holds(sale_id)
        if not await self._store.begin_rebuild(sale_id, terms.epoch, turn.rebuilder):
            raise Superseded("begin")
        marker = await self._mark(sale_id)
        merged = await self._merge(terms, turn, holds)
        await self._finish(terms, turn, holds)
        replayed = await self._replay(terms, turn, holds, marker)
        promoted = await self._promote(terms, turn)
        phase = "paused" if terms.phase is Phase.PAUSED else "open"
        await turn.prolong()
        refusal = await self._store.set_phase(
            sale_id, terms.epoch, phase, terms.closes_at_ms, rebuilder=turn.rebuilder
        )
        if refusal is not None or not await self._ledger.unfreeze(sale_id, terms.epoch):
            raise Superseded("phase")
        log.info(
            "rebuilt",
            sale_id=sale_id,
            epoch=terms.epoch,
            why=terms.frozen or why,
            rows=len(holds),
            merged=merged,
            replayed=replayed,
            promoted=promoted,
        )

    async def _mark(self, sale_id: int) -> str:
        """Publish the marker. Nothing is decided any more but by this rebuild, so whatever was ever
        acknowledged stands in the log before it (decision 5)."""
        marker = str(uuid_utils.uuid7())
        await self._broker.publish(Batch(BATCH_VERSION, sale_id, marker, self._clock.now_ms(), []))
        return marker

    async def _merge(self, terms: Terms, turn: _Turn, holds: Iterable[Hold]) -> int:
        """Merge what SQL knows into the places Redis still has; answers the places written."""
        rows: defaultdict[int, list[Row]] = defaultdict(list)
        for hold in holds:
            rows[hold.user_id].append(_row(hold))
        changed: dict[int, Place] = {}
        seen: set[int] = set()
        written = cursor = 0
        while True:
            await turn.prolong()
            cursor, chunk = await self._store.scan_places(terms.sale_id, cursor)
            for user, place in chunk:
                seen.add(user)
                new = merge(place, rows.get(user, ()))
                if new is not None and new != place:
                    changed[user] = new
            written += await self._write(terms, turn, changed)
            if cursor == 0:
                break
        for user in rows.keys() - seen:
            if (new := merge(None, rows[user])) is not None:
                changed[user] = new
        return written + await self._write(terms, turn, changed)

    async def _write(self, terms: Terms, turn: _Turn, changed: dict[int, Place]) -> int:
        items = list(changed.items())
        changed.clear()
        for start in range(0, len(items), MERGE_CHUNK):
            chunk = dict(items[start : start + MERGE_CHUNK])
            await turn.prolong()
            if not await self._store.merge_places(
                terms.sale_id, terms.epoch, turn.rebuilder, chunk
            ):
                raise Superseded("merge")
        return len(items)

    async def _finish(self, terms: Terms, turn: _Turn, holds: Iterable[Hold]) -> None:
        states = [hold.state for hold in holds]
        meta = RebuildMeta(
            stock=terms.stock,
            held=states.count(HoldState.HELD) + states.count(HoldState.PAYING),
            paid=states.count(HoldState.PAID),
            seq=max((hold.rank for hold in holds), default=0),
            closes_at_ms=terms.closes_at_ms,
            standby_limit=terms.standby_limit,
        )
        if not await self._store.finish_rebuild(terms.sale_id, terms.epoch, turn.rebuilder, meta):
            raise Superseded("finish")

    async def _replay(self, terms: Terms, turn: _Turn, holds: Iterable[Hold], marker: str) -> int:
        """Decide what the log holds and Redis has no record of, in log order.

        A request whose rid has a row, or that stands in the log before its buyer's newest row, is
        only answered that row.
        """
        rids = {hold.rid for hold in holds}
        newest: dict[int, str] = {}
        for hold in sorted(holds, key=lambda hold: hold.rank):
            newest[hold.user_id] = split_rid(hold.rid)[0]
        passed: set[str] = set()
        count = 0
        async for batch in self._broker.replay(terms.sale_id, marker):
            answered = [
                i
                for i, user in enumerate(batch.user_ids)
                if batch.rid(i) in rids or (user in newest and newest[user] not in passed)
            ]
            decision = await self._store.decide(
                terms.sale_id, terms.epoch, batch, rebuilder=turn.rebuilder, answered=answered
            )
            if isinstance(decision, Refusal):
                raise Superseded(f"replay: {decision}")
            passed.add(batch.batch_id)
            count += decision.fresh
            await turn.prolong()
        return count

    async def _promote(self, terms: Terms, turn: _Turn) -> int:
        """Standby heads onto free units; they stay on `ungranted` until the sale is thawed."""
        total = 0
        while True:
            promoted = await self._store.promote(
                terms.sale_id, terms.epoch, rebuilder=turn.rebuilder
            )
            if isinstance(promoted, Refusal):
                raise Superseded(f"promote: {promoted}")
            total += len(promoted)
            if len(promoted) < PROMOTE_MAX:
                return total


def _row(hold: Hold) -> Row:
    return Row(
        hold.rid,
        hold.user_id,
        hold.state,
        hold.reason,
        hold.rank,
        hold.version,
        hold.pay_by_ms,
    )
