"""Are the invariants I1 to I10 true of a sale now? Reads the stores raw and shares no code with
the roles that write them.

Two stores cannot be read at one instant, so a difference counts only if it is still there, for the
same thing, LASTING_S later. I10 is seen only as far as heartbeats tell: a publisher whose count of
sold_out answers rose while this sale, the only one open, had the same free units all the time.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import msgspec

from miaosha.domain.errors import Problem
from miaosha.ports.auditing import (
    LedgerFacts,
    LedgerReader,
    PublisherBeat,
    QueueFacts,
    QueueReader,
    StoreFacts,
    StoreReader,
)
from miaosha.usecases.invariants import Difference, ledger_differences, store_differences

LASTING_S: Final = 3.0
STALE_S: Final = 2.0  # I10: answers sold_out may lag a unit that came free by a second
NAMED_MAX: Final = 20  # findings named per invariant


LOST: Final = "lost"  # key of the difference that Redis's state as a whole is not to be used


class Finding(msgspec.Struct, frozen=True):
    """`thing`: what differs, and how, the same when it is found again. "" for a loss of all that
    Redis knew, and for what only follows from others: a count beside the things it counts."""

    invariant: str  # I1 … I10
    detail: str
    thing: str = ""


class Verdict(msgspec.Struct, frozen=True):
    """What an audit found. `counts`: what it looked at; `stored`: what the audit before it said,
    of a settled sale when it was settled (JSON), "" if there was none."""

    sale_id: int
    clean: bool
    findings: list[Finding]
    checked_at_ms: int
    counts: dict[str, int]
    stored: str = ""


class _Look(NamedTuple):
    """Everything read in one go; `used`: Redis is this sale's decision state now."""

    at_ms: int
    ledger: LedgerFacts
    store: StoreFacts | None
    queue: QueueFacts | None
    used: bool

    @property
    def counters(self) -> tuple[int, ...]:
        store = self.store
        if store is None:
            return ()
        return (store.stock, store.free, store.counted_held, store.counted_paid, store.seq)


class Auditor:
    """Args: sleep: waits so many seconds (a test gives its own)."""

    def __init__(
        self,
        ledger: LedgerReader,
        store: StoreReader,
        queue: QueueReader,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._queue = queue
        self._sleep = sleep

    async def audit(self, sale_id: int) -> Verdict:
        """Check one sale; answers at once if nothing is amiss, else after LASTING_S seconds.

        Raises:
            Problem: not_found.
            DependencyDown: a store is away, so nothing can be said.
        """
        look = await self._look(sale_id)
        found = _differences(look)
        early: list[PublisherBeat] = []
        if found or await self._sells_wrongly(sale_id, look):
            await self._sleep(STALE_S)
            early = await self._store.publishers()
            await self._sleep(LASTING_S - STALE_S)
            first, look = look, await self._look(sale_id)
            before = {difference[:2] for difference in found}
            found = [difference for difference in _differences(look) if difference[:2] in before]
            found += await self._i10(sale_id, first, look, early)
        return _verdict(sale_id, look, found)

    async def _look(self, sale_id: int) -> _Look:
        at_ms = await self._store.now_ms()
        ledger = await self._ledger.facts(sale_id)
        if ledger is None:
            raise Problem("not_found", f"There is no sale {sale_id}.")
        if ledger.ledger.phase in ("draft", "settled"):
            return _Look(at_ms, ledger, None, None, used=False)
        store = await self._store.facts(sale_id)
        queue = await self._queue.facts(sale_id)
        used = store is not None and store.epoch > 0 and store.phase != "frozen"
        used = used and store is not None and store.genuine is not False
        return _Look(at_ms, ledger, store, queue, used)

    async def _sells_wrongly(self, sale_id: int, look: _Look) -> bool:
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
        self, sale_id: int, first: _Look, last: _Look, early: list[PublisherBeat]
    ) -> list[Difference]:
        if first.counters != last.counters or not await self._sells_wrongly(sale_id, last):
            return []
        settled = first.at_ms + 1_000
        known = {beat.instance: beat.sold_out for beat in early if beat.beat_ms >= settled}
        found = []
        for beat in await self._store.publishers():
            more = beat.sold_out - known.get(beat.instance, beat.sold_out)
            if more > 0:
                detail = (
                    f"publisher {beat.instance} told {more:.0f} buyers 'sold out'"
                    f" while {first.counters[1]} units were free"
                )
                found.append(Difference("I10", beat.instance, detail))
        return found


def _differences(look: _Look) -> list[Difference]:
    found = list(ledger_differences(look.ledger))
    row = look.ledger.ledger
    if row.phase in ("draft", "settled") or not row.epoch:
        return found
    if row.frozen is None and (lost := _lost(look)):
        return [*found, Difference("I1", LOST, lost)]
    if look.used and look.store is not None:
        found += store_differences(look.ledger, look.store, look.queue)
    return found


def _lost(look: _Look) -> str:
    """Why a sale that is not frozen has no decision state to go by, or ""."""
    store, epoch = look.store, look.ledger.ledger.epoch
    if store is None:
        return "Redis knows nothing of this sale: its state was lost and not rebuilt"
    if store.epoch == 0 or store.phase == "frozen":
        return "Redis was left amid a rebuild of this sale"
    if store.epoch != epoch:
        return f"Redis is of epoch {store.epoch}, the ledger of epoch {epoch}: it must be rebuilt"
    if store.genuine is False:
        return "Redis was restarted or failed over and may have lost its last writes"
    return ""


def _verdict(sale_id: int, look: _Look, found: list[Difference]) -> Verdict:
    findings: list[Finding] = []
    named = any(":" in d.key for d in found)
    for invariant in sorted({d.invariant for d in found}, key=lambda name: int(name[1:])):
        of_kind = sorted(d for d in found if d.invariant == invariant)
        findings += [Finding(invariant, d.detail, _thing(d, named)) for d in of_kind[:NAMED_MAX]]
        if len(of_kind) > NAMED_MAX:
            more = f"… and {len(of_kind) - NAMED_MAX} more like these"
            findings.append(Finding(invariant, more))
    stored = look.ledger.ledger.verdict or ""
    return Verdict(sale_id, not found, findings, look.at_ms, _counts(look), stored)


def _thing(difference: Difference, named: bool) -> str:
    """`named`: something was found by its name, a rid, a buyer or a batch."""
    invariant, key, _, how = difference
    if key == LOST or (named and ":" not in key):
        return ""
    return f"{invariant} {key} {how}".rstrip()


def _counts(look: _Look) -> dict[str, int]:
    row, holds = look.ledger.ledger, look.ledger.holds
    counts = {
        "stock": row.stock,
        "granted": row.granted,
        "sold": row.sold,
        "epoch": row.epoch,
        "frozen": int(row.frozen is not None),
        "holds": len(holds),
        "unsynced": sum(1 for hold in holds if not hold.synced),
        "promoted": sum(1 for hold in holds if hold.promoted),
        "orders": len(look.ledger.orders),
        "mails": len(look.ledger.mails),
        "store_checked": int(look.used),
    }
    if look.store is not None:
        counts |= {
            "free": look.store.free,
            "held": look.store.counted_held,
            "paid": look.store.counted_paid,
            "standby": look.store.waiting,
            "ungranted": len(look.store.ungranted),
            "recorded": len(look.store.letters),
        }
    if look.queue is not None:
        counts |= {
            "batches": len(look.queue.requests),
            "requests": sum(look.queue.requests.values()),
            "waiting": len(look.queue.open),
            "undecodable": look.queue.undecodable,
        }
    return counts


def kept(verdict: Verdict) -> str:
    """A verdict as it is stored, without the one stored before."""
    return msgspec.json.encode(msgspec.structs.replace(verdict, stored="")).decode()


def last_verdict(stored: str) -> Verdict | None:
    """What `kept` stored; None for "" or what this version cannot read."""
    try:
        return msgspec.json.decode(stored, type=Verdict) if stored else None
    except msgspec.DecodeError:
        return None


__all__ = ["Auditor", "Finding", "Verdict", "kept", "last_verdict"]
