"""Store readers: the audit's view of the laboratory's store, and its heartbeats."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, cast

import msgspec

from miaosha.adapters.redis.connect import Client
from miaosha.adapters.redis.heartbeats import RedisHeartbeats
from miaosha.ports.auditing import (
    NAMES_MAX,
    PlacePage,
    PlaceSeen,
    PublisherBeat,
    StandbyBuyer,
    StoreTotals,
)
from tests.lab.link import Link
from tests.lab.store_server import StoreServer

ALIVE_MS = 5_000


class LabStoreReader:
    """Implements ports/auditing.StoreReader."""

    def __init__(self, server: StoreServer, link: Link) -> None:
        self._server = server
        self._link = link

    async def now_ms(self) -> int:
        return await self._link("reader.now_ms", self._server.now_ms)

    async def totals(self, sale_id: int) -> StoreTotals | None:
        """The run id of the server is asked for afterwards, as there."""
        found = await self._link("reader.totals", lambda: self._totals(sale_id))
        if found is None:
            return None
        totals, written_to = found
        run_id = await self._link("reader.totals", lambda: self._server.run_id)
        return totals._replace(genuine=written_to == run_id)

    def _totals(self, sale_id: int) -> tuple[StoreTotals, str] | None:
        sale = self._server.sales.get(sale_id)
        if sale is None:
            return None
        totals = StoreTotals(
            epoch=sale.epoch,
            genuine=None,
            phase=sale.phase,
            stock=sale.stock,
            free=sale.free,
            held=sale.held,
            paid=sale.paid,
            seq=sale.seq,
            waiting=len(sale.standby),
            ungranted=len(sale.ungranted),
            records=len(sale.batches),
            places=len(sale.users),
            unreadable=[],
        )
        return totals, sale.run_id

    async def places(self, sale_id: int, cursor: int) -> PlacePage:
        after, page = await self._link("reader.places", lambda: self._server.scan(sale_id, cursor))
        return PlacePage(after, [PlaceSeen(u, str(p.state), p.rid, p.rank) for u, p in page], [])

    async def places_of(self, sale_id: int, users: Collection[int]) -> dict[int, PlaceSeen]:
        assert len(users) <= NAMES_MAX, len(users)
        if not users:
            return {}
        found = await self._link("reader.places_of", lambda: self._server.places_of(sale_id, users))
        return {u: PlaceSeen(u, str(p.state), p.rid, p.rank) for u, p in found.items()}

    async def heads(self, sale_id: int, count: int) -> list[StandbyBuyer]:
        """The line first and then its places, a thousand at a time, as there."""
        heads: list[StandbyBuyer] = []
        for start in range(0, count, NAMES_MAX):
            end = min(start + NAMES_MAX, count)
            ranks = await self._link("reader.heads", partial(self._line, sale_id, start, end))
            places = await self.places_of(sale_id, ranks)
            for user, rank in ranks.items():
                seen = places.get(user) or PlaceSeen(user, "", "", 0)
                heads.append(StandbyBuyer(user, rank, seen.state, seen.rid, seen.rank))
            if len(ranks) < end - start:
                break
        return heads

    def _line(self, sale_id: int, start: int, end: int) -> dict[int, int]:
        sale = self._server.sales.get(sale_id)
        return {user: sale.standby[user] for user in sale.line()[start:end]} if sale else {}

    async def ungranted(self, sale_id: int, places: Sequence[PlaceSeen]) -> set[str]:
        assert len(places) <= NAMES_MAX, len(places)
        if not places:
            return set()
        return await self._link("reader.ungranted", lambda: self._ungranted(sale_id, places))

    def _ungranted(self, sale_id: int, places: Sequence[PlaceSeen]) -> set[str]:
        sale = self._server.sales.get(sale_id)
        return {p.rid for p in places if sale and sale.is_ungranted(p.rid, p.user_id)}

    async def records(self, sale_id: int, batches: Collection[str]) -> dict[str, str]:
        assert len(batches) <= NAMES_MAX, len(batches)
        if not batches:
            return {}
        return await self._link("reader.records", lambda: self._server.records(sale_id, batches))

    async def odd_records(self, sale_id: int, cursor: int) -> tuple[int, list[str]]:
        """None is odd here: nobody but the scripts writes."""
        return await self._link("reader.odd_records", lambda: (0, []))

    async def publishers(self) -> list[PublisherBeat]:
        now_ms = await self.now_ms()
        texts = await self._link("reader.publishers", self._server.beats)
        beats = (msgspec.json.decode(text) for text in texts.values())
        return [
            PublisherBeat(
                beat["instance"],
                beat["beat_ms"],
                float(beat["counters"].get("refused_sold_out", 0)),
            )
            for beat in beats
            if beat["role"] == "publisher" and now_ms - beat["beat_ms"] <= ALIVE_MS
        ]


class LabHeartbeats(RedisHeartbeats):
    """Implements ports/heartbeats.Heartbeats: the real adapter, which judges who is alive, over
    commands of the laboratory's server. Its steady clock is the loop's."""

    def __init__(
        self, server: StoreServer, link: Link, monotonic: Callable[[], float] | None = None
    ) -> None:
        commands = cast(Client, _HeartbeatCommands(server, link))
        super().__init__(commands, monotonic or (lambda: asyncio.get_running_loop().time()))


class _HeartbeatCommands:
    """What RedisHeartbeats asks of its client; also its pipeline, of one beat."""

    def __init__(self, server: StoreServer, link: Link) -> None:
        self._server = server
        self._link = link
        self._field, self._text, self._kept_ms = "", b"", 0

    def pipeline(self, *, transaction: bool) -> "_HeartbeatCommands":
        return _HeartbeatCommands(self._server, self._link)

    def hset(self, key: str, field: str, text: bytes) -> None:
        self._field, self._text = field, text

    def pexpire(self, key: str, kept_ms: int) -> None:
        self._kept_ms = kept_ms

    async def execute(self) -> None:
        await self._link(
            "heartbeats.beat", lambda: self._server.beat(self._field, self._text, self._kept_ms)
        )

    async def time(self) -> tuple[int, int]:
        now_ms = await self._link("heartbeats.alive", self._server.now_ms)
        return now_ms // 1_000, now_ms % 1_000 * 1_000

    async def hgetall(self, key: str) -> dict[Any, Any]:
        return dict(await self._link("heartbeats.alive", self._server.beats))

    async def hdel(self, key: str, *fields: str) -> None:
        await self._link("heartbeats.alive", lambda: self._server.still(fields))
