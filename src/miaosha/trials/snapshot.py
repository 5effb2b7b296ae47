"""Snapshot: everything the terminal shows, read at once from Redis, SQL, heartbeats and processes.

Reading never fails: what is away is shown as away.
"""

import contextlib
from collections import Counter
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import Connection, text

from miaosha.adapters.sql.database import Database
from miaosha.domain.errors import MiaoshaError
from miaosha.domain.sale import Phase, Sale
from miaosha.ports.heartbeats import Heartbeat, watchers
from miaosha.ports.store import Reading
from miaosha.supervisor.children import Child
from miaosha.supervisor.process_plan import SERVERS
from miaosha.trials.crowd.crowd_plan import CrowdProgress

if TYPE_CHECKING:
    from miaosha.bootstrap import ApiParts

NO_BEAT = frozenset({*SERVERS, "edge"})


class SaleFigures(msgspec.Struct, frozen=True):
    """A sale as SQL has it. `holds` counts rows by state, RELEASED ones by their reason."""

    phase: str = ""
    frozen: str | None = None
    stock: int = 0
    sold: int = 0
    holds: dict[str, int] = {}
    promoted: int = 0
    orders: int = 0
    mails: dict[str, int] = {}
    closes_at_ms: int = 0


class Part(msgspec.Struct, frozen=True):
    name: str
    health: str
    restarts: int
    beating: bool


class Snapshot(msgspec.Struct, frozen=True):
    """`phase` is the phase now; `counters` are summed over the processes of each role."""

    phase: str
    now_ms: int
    opens_at_ms: int
    title: str
    reading: Reading | None
    books: SaleFigures
    parts: list[Part]
    counters: dict[str, dict[str, float]]
    watching: int
    crowd: CrowdProgress | None

    def count(self, role: str, name: str) -> int:
        return int(self.counters.get(role, {}).get(name, 0))

    @property
    def presses(self) -> int:
        """Purchase requests the publishers have answered, whatever the answer."""
        answers = self.counters.get("publisher", {}).items()
        names = ("accepted", "repeated")
        return int(sum(n for name, n in answers if name in names or name.startswith("refused_")))

    @property
    def queued(self) -> int:
        """Requests that were accepted and are not decided yet."""
        return max(0, self.count("publisher", "accepted") - self.count("consumer", "decided"))


class Tallies:
    """Counters of all processes by role; what a process had counted before it died stays in."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], Heartbeat] = {}
        self._ended: dict[str, Counter[str]] = {}

    def take(self, beats: list[Heartbeat]) -> None:
        for beat in beats:
            old = self._last.get((beat.role, beat.instance))
            if old is not None and old.pid != beat.pid:
                self._ended.setdefault(beat.role, Counter()).update(old.counters)
            self._last[beat.role, beat.instance] = beat

    def by_role(self) -> dict[str, dict[str, float]]:
        sums = {role: Counter(count) for role, count in self._ended.items()}
        for beat in self._last.values():
            sums.setdefault(beat.role, Counter()).update(beat.counters)
        return {role: dict(count) for role, count in sums.items()}


class Watcher:
    """Reads snapshots of one sale of a platform on this machine."""

    def __init__(
        self, parts: "ApiParts", database: Database, sale_id: int, children: list[Child]
    ) -> None:
        self._parts = parts
        self._database = database
        self._sale_id = sale_id
        self._children = children
        self._sale: Sale | None = None
        self._tallies = Tallies()

    async def look(self, crowd: CrowdProgress | None) -> Snapshot:
        books = await self.books()
        reading: Reading | None = None
        beats: list[Heartbeat] = []
        with contextlib.suppress(MiaoshaError):
            reading = await self._parts.store.reading(self._sale_id)
            beats = await self._parts.heartbeats.alive()
        if self._sale is None:
            with contextlib.suppress(MiaoshaError):
                self._sale = await self._parts.catalogue.sale(self._sale_id)
        self._tallies.take(beats)
        now_ms = self._parts.clock.now_ms()
        return Snapshot(
            phase=self._phase(books, now_ms),
            now_ms=now_ms,
            opens_at_ms=self._sale.opens_at_ms if self._sale else 0,
            title=self._sale.title if self._sale else "",
            reading=reading,
            books=books,
            parts=self._health({beat.pid for beat in beats}),
            counters=self._tallies.by_role(),
            watching=watchers(beats)[self._sale_id],
            crowd=crowd,
        )

    def _health(self, beating: set[int]) -> list[Part]:
        return [
            Part(
                child.spec.name,
                str(child.health),
                child.restarts,
                child.pid in beating or child.spec.role in NO_BEAT,
            )
            for child in self._children
        ]

    def _phase(self, books: SaleFigures, now_ms: int) -> str:
        if self._sale is None or not books.phase:
            return "unknown"
        sale = msgspec.structs.replace(
            self._sale,
            phase=Phase(books.phase),
            frozen=books.frozen,
            closes_at_ms=books.closes_at_ms,
        )
        return str(sale.phase_at(now_ms))

    async def books(self) -> SaleFigures:
        """The sale in SQL."""
        try:
            return await self._database.read(lambda base: _books(base, self._sale_id))
        except MiaoshaError:
            return SaleFigures()


def _books(base: Connection, sale_id: int) -> SaleFigures:
    of_sale = {"sale_id": sale_id}
    row = base.execute(
        text(
            "SELECT s.phase, l.frozen, l.stock, l.sold, s.closes_at_ms FROM sales s "
            "JOIN ledger l ON l.sale_id = s.id WHERE s.id = :sale_id"
        ),
        of_sale,
    ).one_or_none()
    if row is None:
        return SaleFigures()
    holds: Counter[str] = Counter()
    promoted = 0
    for state, reason, from_standby, count in base.execute(
        text(
            "SELECT state, reason, promoted, count(*) FROM holds WHERE sale_id = :sale_id "
            "GROUP BY 1, 2, 3"
        ),
        of_sale,
    ):
        holds[reason or state.lower()] += count
        promoted += count if from_standby else 0
    orders = base.execute(
        text("SELECT count(*) FROM orders WHERE sale_id = :sale_id"), of_sale
    ).scalar_one()
    mails = base.execute(
        text("SELECT state, count(*) FROM outbox WHERE sale_id = :sale_id GROUP BY 1"), of_sale
    ).all()
    phase, frozen, stock, sold, closes_at_ms = row
    return SaleFigures(
        phase=phase,
        frozen=frozen,
        stock=stock,
        sold=sold,
        holds=dict(holds),
        promoted=promoted,
        orders=orders,
        mails={row[0]: row[1] for row in mails},
        closes_at_ms=closes_at_ms,
    )
