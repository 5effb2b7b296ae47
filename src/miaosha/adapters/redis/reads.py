"""What the store answers without changing anything."""

from typing import Any

from miaosha.adapters.redis.connect import Client, reaching
from miaosha.adapters.redis.scripts import Argument, load, run, sale_keys
from miaosha.domain.allocation import Place
from miaosha.ports.store import Head, PlaceView, Reading, Ungranted

UNGRANTED_MAX = 512  # holds one `ungranted` answers
HEADS_MAX = 1000  # buyers one `heads` answers


class Reads:
    """The reading half of `RedisStore`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._latest_ms = 0

    async def now_ms(self) -> int:
        """The store's clock, Unix ms; within one client it never runs backwards."""
        with reaching("store"):
            seconds, micros = await self._client.time()
        self._latest_ms = max(self._latest_ms, seconds * 1000 + micros // 1000)
        return self._latest_ms

    async def reading(self, sale_id: int) -> Reading | None:
        answer = await self._run("reading", sale_id)
        if answer is None:
            return None
        epoch, genuine, phase, *counts = answer
        return Reading(sale_id, epoch, bool(genuine), phase.decode(), *counts)

    async def place(self, sale_id: int, user_id: int) -> PlaceView | None:
        answer = await self._run("place", sale_id, user_id)
        if answer is None:
            return None
        place, ungranted, position = answer
        return PlaceView(Place.parse(place.decode()), bool(ungranted), position or None)

    async def letter(self, sale_id: int, batch_id: str, index: int) -> str | None:
        with reaching("store"):
            letters: Any = await self._client.hget(sale_keys(sale_id)[4], batch_id)
        if letters is None or not 0 <= index < len(letters):
            return None
        return chr(letters[index])

    async def ungranted(
        self, sale_id: int, *, older_than_ms: int, limit: int
    ) -> tuple[int, list[Ungranted]]:
        wanted = min(limit, UNGRANTED_MAX)
        epoch, *flat = await self._run("ungranted", sale_id, older_than_ms, wanted)
        holds = [
            Ungranted(rid.decode(), user, rank, version, bool(promoted))
            for rid, user, rank, version, promoted in zip(*[iter(flat)] * 5, strict=True)
        ]
        return epoch, holds

    async def heads(self, sale_id: int, limit: int) -> list[Head]:
        flat = await self._run("heads", sale_id, min(limit, HEADS_MAX))
        rows = zip(*[iter(flat)] * 3, strict=True)
        return [
            Head(user, rid.decode(), position, version)
            for position, (user, rid, version) in enumerate(rows, start=1)
        ]

    async def _run(self, name: str, sale_id: int, *args: Argument) -> Any:
        with reaching("store"):
            return await run(self._client, load(name), sale_keys(sale_id), args)


__all__ = ["HEADS_MAX", "UNGRANTED_MAX", "Reads"]
