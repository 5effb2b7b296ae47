"""Sale watch: a sale's books and an audit, made once for all admins who watch.

Counting a sale's rows and auditing it cost more than a poll may. So each is done by one at a time
and its result shared. The books of a large sale are counted less often. An audit goes on by itself,
however long its caller waits.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from miaosha.domain.errors import Overloaded, Problem
from miaosha.ports.audits import AuditRun, Audits
from miaosha.ports.backoffice import Backoffice, Milestones, SaleBooks
from miaosha.ports.clock import Clock
from miaosha.usecases.audit import Verdict, kept
from miaosha.usecases.inspect import Inspection, Inspector

BOOKS_KEPT_S: Final = 0.9  # one count for everybody who polls once a second
BOOKS_SHARE: Final = 10  # kept this many times as long as counting took: a tenth of a core at most
SALES_MAX: Final = 200  # watched at once; of more, those asked for longest ago are forgotten
AUDITS_MAX: Final = 4  # under way at once in one process


@dataclass
class _CountedBooks:
    """The books last counted of a sale, and until when they will do (monotonic s)."""

    counting: asyncio.Lock = field(default_factory=asyncio.Lock)
    books: SaleBooks | None = None
    until: float = float("-inf")


class SaleWatch:
    def __init__(
        self, backoffice: Backoffice, audits: Audits, inspector: Inspector, clock: Clock
    ) -> None:
        self._backoffice = backoffice
        self._audits = audits
        self._inspector = inspector
        self._clock = clock
        self._seen: dict[int, _CountedBooks] = {}
        self._running: dict[int, tuple[Inspection, asyncio.Task[Verdict]]] = {}

    async def books(self, sale_id: int) -> SaleBooks:
        """At most BOOKS_KEPT_S old, or BOOKS_SHARE times as long as it took to count them; what
        the audit said is never old. Raises Problem("not_found")."""
        seen = self._of(sale_id)
        async with seen.counting:
            began = self._clock.monotonic()
            if seen.books is None or began >= seen.until:
                seen.books = await self._backoffice.books(sale_id)
                took_s = self._clock.monotonic() - began
                seen.until = began + max(BOOKS_KEPT_S, BOOKS_SHARE * took_s)
        if seen.books is None:
            raise Problem("not_found")
        return seen.books

    async def verdict(self, sale_id: int) -> str:
        """What the audit last said (JSON), "" for nothing yet. Raises Problem("not_found")."""
        said = await self._audits.verdict(sale_id)
        if said is None:
            raise Problem("not_found")
        return said

    async def check(self, sale_id: int, within_s: float) -> AuditRun | None:
        """Audit the whole sale and keep the verdict; who asks meanwhile, of any process, gets the
        same audit.

        Args:
            within_s: how long to wait for its end.

        Returns:
            None: it has ended; else it is under way.

        Raises:
            DependencyDown: a store is away, so nothing can be said.
            Overloaded: audits_max.
        """
        if sale_id not in self._running:
            if run := await self.audit_run(sale_id):
                return run
            if len(self._running) >= AUDITS_MAX and sale_id not in self._running:
                raise Overloaded("audits_max")
        audit = self._running.get(sale_id) or self._begin(sale_id)
        done, _ = await asyncio.wait({audit[1]}, timeout=within_s)
        if not done:
            return audit[0].state
        audit[1].result()
        return None

    def _begin(self, sale_id: int) -> tuple[Inspection, asyncio.Task[Verdict]]:
        inspection = self._inspector.begin(sale_id)
        task = asyncio.create_task(self._audit(sale_id, inspection), name=f"check:{sale_id}")
        self._running[sale_id] = inspection, task
        task.add_done_callback(lambda ended: self._ended(sale_id, ended))
        return inspection, task

    def _ended(self, sale_id: int, task: "asyncio.Task[Verdict]") -> None:
        del self._running[sale_id]
        if not task.cancelled():
            task.exception()  # nobody may have waited for it

    async def _audit(self, sale_id: int, inspection: Inspection) -> Verdict:
        verdict = await inspection.run()
        await self._audits.keep_verdict(sale_id, kept(verdict))
        return verdict

    async def audit_run(self, sale_id: int) -> AuditRun | None:
        """The audit of the whole sale that is under way, here or elsewhere."""
        if sale_id in self._running:
            return self._running[sale_id][0].state
        return await self._audits.under_way(sale_id, self._clock.now_ms())

    async def milestones(self, sale_id: int) -> Milestones:
        """Raises Problem("not_found")."""
        found = await self._backoffice.milestones(sale_id)
        if found is None:
            raise Problem("not_found")
        return found

    async def close(self) -> None:
        """Cut off what is under way."""
        tasks = [task for _, task in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _of(self, sale_id: int) -> _CountedBooks:
        seen = self._seen.pop(sale_id, None) or _CountedBooks()
        self._seen[sale_id] = seen  # the one asked for last stands last
        while len(self._seen) > SALES_MAX:
            del self._seen[next(iter(self._seen))]
        return seen
