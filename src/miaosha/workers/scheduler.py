"""The scheduler role: everything that must happen although nobody asks for it.

Each duty is a loop of its own, so that a slow one (an audit) never delays expiry. Each sale has
rounds of its own: neither a rebuild nor a defect of one stops another. A lease in SQL lets one
scheduler lead; two acting at once would do no harm, only double work.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping

import structlog

from miaosha import bootstrap
from miaosha.bootstrap import SchedulerParts
from miaosha.domain.errors import Fault
from miaosha.ports.leases import LeaseRow
from miaosha.ports.sale_terms import Terms
from miaosha.serving import memory
from miaosha.serving.ending import end
from miaosha.serving.process import Process
from miaosha.settings import Settings
from miaosha.usecases.lease import LeaseCandidate

SALE_TICK_S = 0.5
SALES_AT_ONCE = 16
AUDIT_LANES = 3
POSITIONS_S = 2.0  # a buyer hears of the position at most this often
STALE_S = 5.0
FORGET_S = 10.0
BOARD_S = 1.0
RELAY_S = 0.5
CLOCK_S = 0.5
PARKED_S = 15.0
LEASE = "scheduler"
COUNTED_BY_LEADER = ("parked_mails", "parked_messages")

log = structlog.get_logger()

Duty = Callable[[], Awaitable[None]]


class Scheduler:
    def __init__(
        self, parts: SchedulerParts, settings: Settings, counters: MutableMapping[str, float]
    ) -> None:
        self._parts = parts
        self._settings = settings
        self._counters = counters
        self._candidate = LeaseCandidate(parts.ledger.leases, parts.clock, settings.lease_ms / 1000)
        self._taken_from: list[LeaseRow | None] = []  # leases taken, as they were before
        self._leading = asyncio.Event()
        self._room = asyncio.Semaphore(SALES_AT_ONCE)
        self._rounds: dict[int, asyncio.Task[None]] = {}

    def duties(self) -> list[tuple[str, float, Duty]]:
        """(name, seconds between runs, what to do)."""
        sweep_s = self._settings.sweep_interval_ms / 1000
        return [
            ("sweep", sweep_s, self._sweep),
            ("finish", sweep_s, self._finish),
            ("sales", SALE_TICK_S, self._sales),
            ("positions", POSITIONS_S, self._positions),
            ("payments", STALE_S, self._stale_payments),
            ("outbox", RELAY_S, self._relay),
            ("board", BOARD_S, self._parts.control.refresh_board),
            ("forget", FORGET_S, self._parts.settlement.forget_settled),
            ("clock", CLOCK_S, self._parts.watch.look),
            ("audit", float(self._settings.audit_interval_s), self._audit),
            ("parked", PARKED_S, self._parked),
        ]

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._lead())
                group.create_task(self._reminders())
                for name, interval_s, duty in self.duties():
                    group.create_task(self._every(name, interval_s, duty))
        finally:
            await self.end_rounds()

    async def end_rounds(self) -> None:
        """Cancel what is being done for single sales."""
        await end(self._rounds.values())

    async def _lead(self) -> None:
        """Hold the lease, or wait for it; a database that is away, or slow, ends the lead."""
        ttl_s = self._settings.lease_ms / 1000
        while True:
            try:
                async with asyncio.timeout(ttl_s / 2):
                    lead = await self._try_to_lead()
            except (Fault, TimeoutError) as error:
                log.warning("lease_unknown", error=str(error) or type(error).__name__)
                lead = False
            if lead != self._leading.is_set():
                log.info("leading" if lead else "following")
            if lead:
                self._leading.set()
            else:
                self._leading.clear()
                self._counters.update(dict.fromkeys(COUNTED_BY_LEADER, 0))  # another counts now
            self._counters["leading"] = int(lead)
            await asyncio.sleep(min(1.0, ttl_s / 3))

    async def _try_to_lead(self) -> bool:
        """Whether this scheduler has the lease. First it looks at what the last leader left.

        Who has not heard the store's time does not lead. The first answer is believed, whatever it
        says: it must be compared with the last leader's time before anything is done by it.
        """
        if not self._parts.watch.knows_the_time():
            return False
        lead = await self._candidate.take(LEASE, self._parts.owner, self._taken_from.append)
        while lead and self._taken_from:
            await self._parts.watch.take_over(self._taken_from[0])
            del self._taken_from[0]
        return lead

    async def step_down(self) -> None:
        """Let another lead at once."""
        await self._candidate.free(LEASE, self._parts.owner)

    async def _every(self, name: str, interval_s: float, duty: Duty) -> None:
        while True:
            await self._leading.wait()
            try:
                await duty()
            except Fault as error:
                self._counters["duty_faults"] += 1
                log.warning("duty_later", duty=name, error=str(error))
            except Exception:
                self._counters["duty_errors"] += 1
                log.exception("duty_failed", duty=name)
            await asyncio.sleep(interval_s)

    async def _reminders(self) -> None:
        while True:
            await self._leading.wait()
            try:
                await self._parts.broker.reminders(self._parts.release.remind)
            except Fault as error:
                log.warning("reminders_later", error=str(error))
                await asyncio.sleep(1.0)

    async def _sweep(self) -> None:
        self._counters["released"] += await self._parts.release.sweep()

    async def _finish(self) -> None:
        self._counters["finished"] += await self._parts.release.finish_unsynced()

    async def _sales(self) -> None:
        """Start a round of each live sale that needs one and whose last one has ended. A long one
        (a rebuild, say) keeps no other sale waiting. All may need one, after a restart of the
        store: then those that open first come first."""
        live = await self._parts.ledger.sales.live()
        readings = await self._parts.store.readings([terms.sale_id for terms in live])
        for terms in sorted(live, key=_urgency):
            idle = self._parts.settlement.idle(terms, readings.get(terms.sale_id))
            if not idle and terms.sale_id not in self._rounds:
                task = asyncio.create_task(self._round(terms), name=f"sale:{terms.sale_id}")
                self._rounds[terms.sale_id] = task

    async def _round(self, terms: Terms) -> None:
        try:
            async with self._room, self._alone("sale", terms.sale_id):
                await self._sale(terms)
        finally:
            del self._rounds[terms.sale_id]

    @contextlib.asynccontextmanager
    async def _alone(self, duty: str, sale_id: int) -> AsyncIterator[None]:
        """Whatever goes wrong with one sale is told, and goes no further."""
        try:
            yield
        except Fault as error:
            self._counters["duty_faults"] += 1
            log.warning("sale_later", duty=duty, sale_id=sale_id, error=str(error))
        except Exception:
            self._counters["duty_errors"] += 1
            log.exception("sale_failed", duty=duty, sale_id=sale_id)

    async def _sale(self, terms: Terms) -> None:
        parts = self._parts
        if not await parts.settlement.heal(terms):
            return
        await parts.control.catch_up(terms)
        self._counters["left_over"] += await parts.promoter.grant_left_over(
            terms.sale_id, self._settings.ungranted_after_ms
        )
        self._counters["promoted"] += await parts.promoter.promote(terms.sale_id, terms.epoch)
        await parts.settlement.advance(terms)

    async def _positions(self) -> None:
        readings = await self._parts.store.readings(await self._parts.ledger.sales.live_ids())
        standing = {id_ for id_, reading in readings.items() if reading and reading.standby}
        self._parts.promoter.forget(standing)
        for sale_id in standing:
            async with self._alone("positions", sale_id):
                await self._parts.promoter.tell_positions(sale_id)

    async def _stale_payments(self) -> None:
        before_ms = self._parts.clock.now_ms() - self._settings.payment_max_s * 1000
        self._counters["stale_payments"] += await self._parts.checkout.settle_stale(before_ms)

    async def _relay(self) -> None:
        self._counters["mails_queued"] += await self._parts.mail_queue.relay()

    async def _parked(self) -> None:
        """Count what waits for a person, and say so when it grows."""
        mails = await self._parts.ledger.outbox.count_parked()
        messages = await self._parts.broker.count_parked()
        if mails + messages > sum(self._counters[name] for name in COUNTED_BY_LEADER):
            log.error("parked", mails=mails, messages=messages)
        self._counters.update(zip(COUNTED_BY_LEADER, (mails, messages), strict=True))

    async def _audit(self) -> None:
        """In lanes: where something is suspected, everything is looked at, which takes a minute of
        a large sale and must not keep the others waiting."""
        waiting = iter(await self._parts.ledger.sales.live())

        async def lane() -> None:
            for terms in waiting:
                if terms.epoch and terms.frozen is None:
                    async with self._alone("audit", terms.sale_id):
                        await self._parts.settlement.reconcile(terms)
                        self._counters["audits"] += 1

        await asyncio.gather(*(lane() for _ in range(AUDIT_LANES)))


def _urgency(terms: Terms) -> tuple[int, int]:
    """Those that opened or open first, first: somebody may be pressing there."""
    return terms.opens_at_ms, terms.sale_id


async def serve(process: Process, settings: Settings) -> None:
    async with bootstrap.scheduler(settings, process.instance) as parts:
        process.checks.update(parts.checks)
        scheduler = Scheduler(parts, settings, process.counters)
        memory.settle()  # a look at all that was imported takes 50 ms of the loop
        beat = process.heartbeat(parts.heartbeats, parts.clock)
        try:
            await process.tend(beat, scheduler.run())
        finally:
            with contextlib.suppress(Fault):
                await scheduler.step_down()
