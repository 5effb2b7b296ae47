"""What an admin watches of a sale, made once for all who watch: its books, and an audit now.

Counting a sale's rows and auditing it cost more than a poll may, so each is done by one at a time
and its answer shared.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from miaosha.domain.errors import Problem
from miaosha.ports.ledger import Ledger
from miaosha.ports.office import Books, Milestones, Office
from miaosha.ports.outside import Clock
from miaosha.usecases.audit import Auditor, Verdict, kept

BOOKS_KEPT_S: Final = 0.9  # one count for everybody who polls once a second
SALES_MAX: Final = 200  # watched at once; of more, those asked for longest ago are forgotten


@dataclass
class _Seen:
    """What was last read of a sale, and when (monotonic s)."""

    counting: asyncio.Lock = field(default_factory=asyncio.Lock)
    auditing: asyncio.Lock = field(default_factory=asyncio.Lock)
    books: Books | None = None
    books_at: float = float("-inf")
    verdict: Verdict | None = None
    verdict_at: float = float("-inf")


class Watch:
    def __init__(self, office: Office, ledger: Ledger, auditor: Auditor, clock: Clock) -> None:
        self._office = office
        self._ledger = ledger
        self._auditor = auditor
        self._clock = clock
        self._seen: dict[int, _Seen] = {}

    async def books(self, sale_id: int) -> Books:
        """At most BOOKS_KEPT_S old. Raises Problem("not_found")."""
        seen = self._of(sale_id)
        async with seen.counting:
            now = self._clock.monotonic()
            if seen.books is None or now - seen.books_at > BOOKS_KEPT_S:
                seen.books, seen.books_at = await self._office.books(sale_id), now
        if seen.books is None:
            raise Problem("not_found")
        return seen.books

    async def check(self, sale_id: int) -> Verdict:
        """Audit the sale now and keep the verdict; who asks meanwhile is told the same.

        Raises:
            Problem: not_found.
            DependencyDown: a store is away, so nothing can be said.
        """
        seen, asked_at = self._of(sale_id), self._clock.monotonic()
        async with seen.auditing:
            if seen.verdict is None or seen.verdict_at < asked_at:
                seen.verdict = await self._auditor.audit(sale_id)
                seen.verdict_at = self._clock.monotonic()
                seen.books_at = float("-inf")
                await self._ledger.keep_verdict(sale_id, kept(seen.verdict))
            return seen.verdict

    async def milestones(self, sale_id: int) -> Milestones:
        """Raises Problem("not_found")."""
        found = await self._office.milestones(sale_id)
        if found is None:
            raise Problem("not_found")
        return found

    def _of(self, sale_id: int) -> _Seen:
        seen = self._seen.pop(sale_id, None) or _Seen()
        self._seen[sale_id] = seen  # the one asked for last stands last
        while len(self._seen) > SALES_MAX:
            del self._seen[next(iter(self._seen))]
        return seen
