"""The scheduler role: everything that must happen although nobody asks for it.

Each duty is a loop of its own, so that a slow one (an audit) never delays expiry, and each sale has
rounds of its own, so that neither a rebuild nor a defect of one sale stops another. A lease in SQL
lets one scheduler lead; two acting at once would do no harm, only double work.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping

import structlog

from miaosha import bootstrap
from miaosha.adapters.ending import end
from miaosha.adapters.process import Process
from miaosha.bootstrap import SchedulerParts
from miaosha.domain.errors import Fault
from miaosha.ports.ledger import Terms
from miaosha.settings import Settings

SALE_TICK_S = 0.5
SALES_AT_ONCE = 16
POSITIONS_S = 2.0  # a buyer hears of his position at most this often
STALE_S = 5.0
FORGET_S = 10.0
BOARD_S = 1.0
RELAY_S = 0.5

log = structlog.get_logger()

Duty = Callable[[], Awaitable[None]]


class Scheduler:
    def __init__(
        self, parts: SchedulerParts, settings: Settings, counters: MutableMapping[str, float]
    ) -> None:
        self._parts = parts
        self._settings = settings
        self._counters = counters
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
            ("audit", float(self._settings.audit_interval_s), self._audit),
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
        """Hold the lease, or wait for it; a database that is away ends the lead."""
        ttl_ms = self._settings.lease_ms
        while True:
            try:
                lead = await self._parts.ledger.take_lease(
                    "scheduler", self._parts.owner, self._parts.clock.now_ms(), ttl_ms
                )
            except Fault as error:
                log.warning("lease_unknown", error=str(error))
                lead = False
            if lead != self._leading.is_set():
                log.info("leading" if lead else "following")
            if lead:
                self._leading.set()
            else:
                self._leading.clear()
            self._counters["leading"] = int(lead)
            await asyncio.sleep(min(1.0, ttl_ms / 3000))

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
        """Start a round of each live sale whose last one has ended: a long one (a rebuild, say)
        keeps no other sale waiting."""
        for terms in await self._parts.ledger.live_terms():
            if terms.sale_id not in self._rounds:
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
        live = await self._parts.ledger.live_terms()
        for terms in live:
            async with self._alone("positions", terms.sale_id):
                await self._parts.promoter.tell_positions(terms.sale_id)
        self._parts.promoter.forget({terms.sale_id for terms in live})

    async def _stale_payments(self) -> None:
        before_ms = self._parts.clock.now_ms() - self._settings.payment_max_s * 1000
        self._counters["stale_payments"] += await self._parts.checkout.settle_stale(before_ms)

    async def _relay(self) -> None:
        self._counters["mails_queued"] += await self._parts.post.relay()

    async def _audit(self) -> None:
        for terms in await self._parts.ledger.live_terms():
            if terms.epoch and terms.frozen is None:
                async with self._alone("audit", terms.sale_id):
                    await self._parts.settlement.reconcile(terms)
                    self._counters["audits"] += 1


async def serve(process: Process, settings: Settings) -> None:
    async with bootstrap.scheduler(settings, process.instance) as parts:
        process.checks.update(parts.checks)
        scheduler = Scheduler(parts, settings, process.counters)
        beat = process.heartbeat(parts.heartbeats, parts.clock)
        try:
            await process.tend(beat, scheduler.run())
        finally:
            with contextlib.suppress(Fault):
                await parts.ledger.drop_lease("scheduler", parts.owner)
