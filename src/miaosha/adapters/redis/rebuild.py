"""Rebuilds: the store's side: begin → merge… → finish, under one epoch and one lease."""

from collections.abc import Mapping, Sequence
from typing import Any

from miaosha.adapters.redis.connect import reaching
from miaosha.adapters.redis.reads import Reads
from miaosha.adapters.redis.scripts import Argument, sale_keys
from miaosha.domain.allocation import Place
from miaosha.ports.rebuilding import PAGE, RebuildMeta

SCAN_COUNT = 512


class Rebuilds(Reads):
    """The part of `RedisStore` that a rebuild uses."""

    async def begin_rebuild(self, sale_id: int, epoch: int, rebuilder: str) -> bool:
        """As the port says; a repeat by the rebuild that is under way answers True."""
        assert epoch > 0 and rebuilder
        return bool(await self._run("begin", sale_id, epoch, rebuilder))

    async def scan_places(self, sale_id: int, cursor: int) -> tuple[int, list[tuple[int, Place]]]:
        with reaching("store"):
            answer: Any = await self._client.hscan(
                sale_keys(sale_id)[1], cursor=cursor, count=SCAN_COUNT
            )
        after, chunk = answer
        return after, [(int(user), Place.parse(text.decode())) for user, text in chunk.items()]

    async def places_of(self, sale_id: int, users: Sequence[int]) -> dict[int, Place]:
        assert len(users) <= PAGE, len(users)
        if not users:
            return {}
        with reaching("store"):
            answer: Any = self._client.hmget(sale_keys(sale_id)[1], [str(user) for user in users])
            texts = await answer
        pairs = zip(users, texts, strict=True)
        return {user: Place.parse(text.decode()) for user, text in pairs if text is not None}

    async def recorded(self, sale_id: int, batches: Sequence[str]) -> set[str]:
        assert len(batches) <= PAGE, len(batches)
        if not batches:
            return set()
        with reaching("store"):
            answer: Any = self._client.hmget(sale_keys(sale_id)[4], list(batches))
            letters = await answer
        pairs = zip(batches, letters, strict=True)
        return {batch for batch, found in pairs if found is not None}

    async def merge_places(
        self, sale_id: int, epoch: int, rebuilder: str, places: Mapping[int, Place]
    ) -> bool:
        assert len(places) <= PAGE, f"{len(places)} places, at most {PAGE}"
        flat: list[Argument] = []
        for user, place in places.items():
            flat += [user, place.encode()]
        return bool(await self._run("merge", sale_id, epoch, rebuilder, *flat))

    async def finish_rebuild(
        self, sale_id: int, epoch: int, rebuilder: str, meta: RebuildMeta
    ) -> bool:
        """As the port says; a repeat after it succeeded answers True while the sale is frozen."""
        return bool(await self._run("finish", sale_id, epoch, rebuilder, *meta))
