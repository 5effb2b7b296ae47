"""Audit: checks whether the invariants I1 to I10 hold of a sale now.

It reads the stores raw and shares no code with the roles that write them. Two stores cannot be read
at one instant. So a difference counts only if the same thing still differs LASTING_S later. I10 is
seen only as far as heartbeats tell. A publisher's count of sold_out answers rose while this sale,
the only one open, kept the same free units.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from miaosha.ports.auditing import LedgerReader, PublisherBeat, QueueReader, StoreReader
from miaosha.usecases.invariants import Difference
from miaosha.usecases.look import LOST, Look, Window, look_at
from miaosha.usecases.look_rows import Readers
from miaosha.usecases.patience import patient

LASTING_S: Final = 3.0
STALE_S: Final = 2.0  # I10: answers sold_out may lag a unit that came free by a second
NAMED_MAX: Final = 20  # findings named per invariant
LOOKS_MAX: Final = 3  # at a sale in which more is on its way than can be looked at again
WINDOWS_MAX: Final = 10_000  # sales whose samples go on where they ended


class Finding(msgspec.Struct, frozen=True):
    """`thing`: what differs, and how, the same when it is found again. "" for a loss of all that
    Redis knew, and for what only follows from others: a count beside the things it counts."""

    invariant: str  # I1 … I10
    detail: str
    thing: str = ""


class Verdict(msgspec.Struct, frozen=True):
    """What an audit found. `counts`: what it looked at; `stored`: what the audit before it said,
    of a settled sale when it was settled (JSON), "" if there was none; `whole`: it looked at
    everything, not at all counters and a sample of the rest."""

    sale_id: int
    clean: bool
    findings: list[Finding]
    checked_at_ms: int
    counts: dict[str, int]
    stored: str = ""
    whole: bool = True


class Auditor:
    """Args: sleep: waits so many seconds (a test gives its own)."""

    def __init__(
        self,
        ledger: LedgerReader,
        store: StoreReader,
        queue: QueueReader,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._ledger = patient(ledger)
        self._store = patient(store)
        self._queue = patient(queue)
        self._sleep = sleep
        self._windows: dict[int, Window] = {}

    async def audit(self, sale_id: int, told: Callable[[int], None] = lambda _: None) -> Verdict:
        """Check everything of one sale; returns at once if nothing is amiss, else after LASTING_S
        seconds and a second look.

        Args:
            told: hears how many rows, places and batches have been looked at so far.

        Raises:
            Problem: not_found.
            DependencyDown: a store is away, so nothing can be said.
        """
        for looks_left in reversed(range(LOOKS_MAX)):
            look = await look_at(self._readers(told), sale_id)
            await look.everything()
            verdict = await self._judged(sale_id, look)
            if not verdict.clean or not look.found.overflowed:
                return verdict
            if not looks_left:
                return _unjudged(verdict, look)
        raise AssertionError("unreachable")

    async def glance(self, sale_id: int) -> Verdict:
        """Check all counters of one sale and a sample of the rest; of a small sale everything.
        Raises as `audit`."""
        window = self._windows.pop(sale_id, None) or Window()
        self._windows[sale_id] = window  # the one looked at last stands last
        while len(self._windows) > WINDOWS_MAX:
            del self._windows[next(iter(self._windows))]
        look = await look_at(self._readers(lambda _: None), sale_id)
        await look.sample(window)
        return await self._judged(sale_id, look)

    def _readers(self, told: Callable[[int], None]) -> Readers:
        return Readers(self._ledger, self._store, self._queue, told)

    async def _judged(self, sale_id: int, look: Look) -> Verdict:
        found: list[Difference] = []
        if look.found or await self._sells_wrongly(sale_id, look):
            await self._sleep(STALE_S)
            early = await self._store.publishers()
            await self._sleep(LASTING_S - STALE_S)
            second = await look_at(self._readers(lambda _: None), sale_id)
            await second.again(look)
            before = {difference[:2] for difference in look.found}
            found = [difference for difference in second.found if difference[:2] in before]
            found += await self._i10(sale_id, look, second, early)
        return _verdict(sale_id, look, found)

    async def _sells_wrongly(self, sale_id: int, look: Look) -> bool:
        """Whether it takes a second look to tell if a publisher turns buyers away (I10)."""
        store, row = look.store, look.ledger.ledger
        if not look.used or store is None or store.free <= 0 or row.frozen is not None:
            return False
        if row.phase != "scheduled" or not row.opens_at_ms <= look.at_ms < row.closes_at_ms:
            return False
        if await self._ledger.open_sales(look.at_ms) != [sale_id]:
            return False  # whose sold_out it was cannot be told
        return any(beat.sold_out for beat in await self._store.publishers())

    async def _i10(
        self, sale_id: int, first: Look, last: Look, early: list[PublisherBeat]
    ) -> list[Difference]:
        if first.store is None or last.store is None:
            return []
        stood = first.store.counters == last.store.counters
        if not stood or not await self._sells_wrongly(sale_id, last):
            return []
        settled = first.at_ms + 1_000
        known = {beat.instance: beat.sold_out for beat in early if beat.beat_ms >= settled}
        found = []
        for beat in await self._store.publishers():
            more = beat.sold_out - known.get(beat.instance, beat.sold_out)
            if more > 0:
                detail = (
                    f"publisher {beat.instance} told {more:.0f} buyers 'sold out'"
                    f" while {first.store.free} units were free"
                )
                found.append(Difference("I10", beat.instance, detail))
        return found


def _unjudged(verdict: Verdict, look: Look) -> Verdict:
    """Every look differed in more than could be looked at again: nothing is known either way."""
    detail = "more was on its way than could be looked at again: audit when it is quieter"
    findings = [Finding(invariant, detail) for invariant in sorted(look.found.overflowed)]
    return msgspec.structs.replace(verdict, clean=False, findings=findings)


def _verdict(sale_id: int, look: Look, found: list[Difference]) -> Verdict:
    findings: list[Finding] = []
    named = any(":" in difference.key for difference in found)
    for invariant in sorted({d.invariant for d in found}, key=lambda name: int(name[1:])):
        of_kind = sorted(d for d in found if d.invariant == invariant)
        findings += [Finding(invariant, d.detail, _thing(d, named)) for d in of_kind[:NAMED_MAX]]
        overflowed = invariant in look.found.overflowed
        others = (look.found.counts[invariant] if overflowed else len(of_kind)) - NAMED_MAX
        if others > 0:
            findings.append(Finding(invariant, f"… and {others} more like these"))
    stored = look.ledger.ledger.verdict or ""
    counts = _counts(look)
    return Verdict(sale_id, not found, findings, look.at_ms, counts, stored, look.whole)


def _thing(difference: Difference, named: bool) -> str:
    """`named`: something was found by its name, a rid, a buyer or a batch."""
    if difference.key == LOST or (named and ":" not in difference.key):
        return ""
    return f"{difference.invariant} {difference.key} {difference.how}".rstrip()


def _counts(look: Look) -> dict[str, int]:
    row, store = look.ledger.ledger, look.store
    counts = {
        "stock": row.stock,
        "granted": row.granted,
        "sold": row.sold,
        "epoch": row.epoch,
        "frozen": int(row.frozen is not None),
        "unsynced": look.ledger.unsynced,
        "store_checked": int(look.used),
    }
    if store is not None:
        counts |= {
            "free": store.free,
            "held": store.held,
            "paid": store.paid,
            "standby": store.waiting,
            "ungranted": store.ungranted,
            "recorded": store.records,
        }
    return counts | look.counts


def kept(verdict: Verdict) -> str:
    """A verdict as it is stored, without the one stored before."""
    return msgspec.json.encode(msgspec.structs.replace(verdict, stored="")).decode()


def last_verdict(stored: str) -> Verdict | None:
    """What `kept` stored; None for "" or what this version cannot read."""
    try:
        return msgspec.json.decode(stored, type=Verdict) if stored else None
    except msgspec.DecodeError:
        return None


def hides(verdict: Verdict) -> bool:
    """Whether keeping it would hide more than it says. It is a clean sample, and the full audit
    before it found something that no sample judges."""
    if verdict.whole or not verdict.clean:
        return False
    before = last_verdict(verdict.stored)
    named = before is not None and any(finding.thing for finding in before.findings)
    return before is not None and before.whole and named


__all__ = ["Auditor", "Finding", "Verdict", "hides", "kept", "last_verdict"]
