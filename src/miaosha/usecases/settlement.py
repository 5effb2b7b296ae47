"""Settlement: closes, drains and settles sales, and compares the two stores once a minute.

A difference that lasts counts as a loss: the sale is frozen and rebuilt. SQL keeps what differed
until an audit is clean. The sale stays frozen for a person if a rebuild leaves the same difference,
or after REBUILDS_MAX rebuilds without a clean audit. The reason then starts with MANUAL. A Redis
that lost its whole state is never kept as a difference: a rebuild explains it every time.
"""

import structlog

from miaosha.domain.freezes import MANUAL, waits_for_clock, waits_for_person
from miaosha.domain.sale import Phase
from miaosha.ports.audits import Audits, Suspects
from miaosha.ports.broker import Broker
from miaosha.ports.clock import Clock
from miaosha.ports.sale_terms import SaleTerms, Terms
from miaosha.ports.store import Reading, StockStore
from miaosha.usecases.audit import Auditor, Verdict, hides, kept
from miaosha.usecases.clock_watch import ClockWatch
from miaosha.usecases.control import Control, stored_phase
from miaosha.usecases.inspect import Inspector

FREEZING = frozenset({f"I{n}" for n in range(1, 9)})  # mails and answers stop no sale
IN_REDIS = FREEZING - {"I2", "I4"}  # of those, what a rebuild can mend
REBUILDS_MAX = 5  # by audits, in a row
FORGET_MAX = 500  # settled sales, the last ones, whose state is looked for
LOGGED_MAX = 5  # findings of one audit in the log

log = structlog.get_logger()


class Settlement:
    """Args: settle_after_ms: ms after closes_at in which a batch accepted before may still arrive
    at the broker; nothing is settled earlier."""

    def __init__(
        self,
        sales: SaleTerms,
        audits: Audits,
        store: StockStore,
        broker: Broker,
        auditor: Auditor,
        inspector: Inspector,
        control: Control,
        clock: Clock,
        settle_after_ms: int,
        watch: ClockWatch,
    ) -> None:
        self._sales = sales
        self._audits = audits
        self._store = store
        self._broker = broker
        self._auditor = auditor
        self._inspector = inspector
        self._control = control
        self._clock = clock
        self._settle_after_ms = settle_after_ms
        self._watch = watch

    def idle(self, terms: Terms, reading: Reading | None) -> bool:
        """Whether nothing is to be done for this sale. Redis is what the ledger says, nothing waits
        for a grant or a promotion, and it is not over, or not drained yet."""
        if reading is None or self._why_rebuild(terms, reading):
            return False
        told = (reading.phase, reading.closes_at_ms) == (stored_phase(terms), terms.closes_at_ms)
        waits = reading.ungranted or (reading.free and reading.standby)
        if not told or waits or reading.stock < terms.stock:
            return False
        if self._clock.now_ms() < terms.closes_at_ms:
            return terms.sold < terms.stock
        return reading.held > 0

    async def heal(self, terms: Terms) -> bool:
        """Rebuild the sale if Redis is not what the ledger says it is. True: it may be used."""
        reading = await self._store.reading(terms.sale_id)
        if not self._why_rebuild(terms, reading):
            return True
        # `terms` may be old: what was read of the ledger after Redis is not older than Redis
        latest = await self._sales.terms(terms.sale_id)
        if latest is None or latest.phase is Phase.SETTLED:
            return False
        if (latest.epoch, latest.frozen) != (terms.epoch, terms.frozen):
            return False  # somebody has rebuilt or frozen it since Redis was read: look anew
        why = self._why_rebuild(latest, reading)
        waits = waits_for_person(why) or (waits_for_clock(why) and not self._watch.steady())
        if why and not waits:
            await self._control.rebuild(terms.sale_id, why, seen=latest)
        return False

    def _why_rebuild(self, terms: Terms, reading: Reading | None) -> str:
        """Why Redis must be written anew, or ""."""
        if terms.frozen is not None:
            return terms.frozen
        if reading is None or reading.epoch == 0:
            return "arming" if terms.epoch == 0 else "the store lost its state"
        if reading.epoch != terms.epoch:
            return "the store is of another epoch"
        if not reading.genuine:
            return "the store was restarted or failed over"
        return "the sale's time ran ahead" if self._watch.ran_ahead(reading.ahead_ms) else ""

    async def advance(self, terms: Terms) -> None:
        """Close a sale that is sold out for good; settle one that is drained."""
        now = self._clock.now_ms()
        if now < terms.closes_at_ms:
            if terms.sold == terms.stock:
                await self._control.close_sold_out(terms.sale_id)
            return
        if now >= terms.closes_at_ms + self._settle_after_ms and await self._drained(terms):
            await self._settle(terms)

    async def _drained(self, terms: Terms) -> bool:
        """Nothing held, ungranted or to promote, and every accepted batch acknowledged."""
        if terms.phase is Phase.PAUSED and (await self._broker.pressure(terms.sale_id)).backlog:
            return False
        reading = await self._store.reading(terms.sale_id)
        if reading is None or reading.held or reading.ungranted:
            return False
        if reading.free and reading.standby:
            return False
        return (await self._broker.pressure(terms.sale_id)).backlog == 0

    async def _settle(self, terms: Terms) -> None:
        verdict = await self._inspector.audit(terms.sale_id)
        if not verdict.clean:
            await self._broken(terms, verdict, mendable=bool(_names(verdict) & IN_REDIS))
            return
        if await self._sales.settle(terms.sale_id, kept(verdict), self._clock.now_ms()):
            log.info("settled", sale_id=terms.sale_id, sold=terms.sold, stock=terms.stock)
            await self._control.refresh_board()
            await self.forget(terms.sale_id, terms.epoch)

    async def forget(self, sale_id: int, epoch: int) -> None:
        """Drop what a settled sale left in the broker and Redis, in this order: `forget_settled`
        knows by what is left in Redis that it did not end. Idempotent."""
        await self._broker.drop(sale_id)
        await self._store.drop(sale_id, epoch)

    async def forget_settled(self) -> None:
        """Finish `forget` where a crash came between settling and dropping, or where Redis came
        back with a settled sale, perhaps amid a rebuild: its epoch is SQL's."""
        epochs = await self._sales.settled_epochs(FORGET_MAX)
        for sale_id, reading in (await self._store.readings(list(epochs))).items():
            if reading is not None:
                await self.forget(sale_id, epochs[sale_id])

    async def reconcile(self, terms: Terms) -> None:
        """Look at a running sale: at its counters and a sample, or at everything while something
        is suspected. A lasting difference freezes it, and the next `heal` rebuilds."""
        suspected = await self._audits.suspects(terms.sale_id) != Suspects()
        if suspected:
            verdict = await self._inspector.audit(terms.sale_id)
        else:
            verdict = await self._auditor.glance(terms.sale_id)
        if _names(verdict) & FREEZING:
            await self._broken(terms, verdict, mendable=True)
            return
        _tell(verdict)
        if not hides(verdict):
            await self._audits.keep_verdict(terms.sale_id, kept(verdict))
        if suspected:
            await self._audits.forget_suspects(terms.sale_id)

    async def _broken(self, terms: Terms, verdict: Verdict, *, mendable: bool) -> None:
        """Freeze the sale: to be rebuilt, or for a person where a rebuild cannot mend what
        differs or has not mended it."""
        await self._audits.keep_verdict(terms.sale_id, kept(verdict))
        _tell(verdict)
        names = _names(verdict)
        why = ", ".join(sorted(names & FREEZING or names))
        found = [f.thing for f in verdict.findings if f.invariant in FREEZING and f.thing]
        known = await self._audits.suspects(terms.sale_id)
        again = known.things.intersection(found) or known.rebuilds >= REBUILDS_MAX
        if not mendable or (found and again):
            await self._freeze(terms, MANUAL + why, known)
        elif found:
            suspects = Suspects(frozenset(found), known.rebuilds + 1)
            await self._freeze(terms, f"audit: {why}", suspects)
        else:  # a loss of the whole state: a rebuild explains it
            await self._freeze(terms, f"audit: {why}", known)

    async def _freeze(self, terms: Terms, why: str, suspects: Suspects) -> None:
        frozen = await self._audits.freeze_suspect(terms.sale_id, terms.epoch, why[:200], suspects)
        log.error("sale_frozen", sale_id=terms.sale_id, epoch=terms.epoch, why=why, frozen=frozen)
        await self._control.refresh_board()


def _names(verdict: Verdict) -> set[str]:
    return {finding.invariant for finding in verdict.findings}


def _tell(verdict: Verdict) -> None:
    if not verdict.clean:
        findings = [f"{f.invariant}: {f.detail}" for f in verdict.findings[:LOGGED_MAX]]
        log.error("audit_broken", sale_id=verdict.sale_id, findings=findings)
