"""The store's side of a rebuild: begin → merge… → finish, under one epoch and one lease."""

from collections.abc import Mapping
from typing import Any

from miaosha.adapters.redis.connect import reaching
from miaosha.adapters.redis.reads import Reads
from miaosha.adapters.redis.scripts import Argument, sale_keys
from miaosha.domain.allocation import Place
from miaosha.ports.store import RebuildMeta

MERGE_MAX = 512  # places one merge_places takes
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

    async def merge_places(
        self, sale_id: int, epoch: int, rebuilder: str, places: Mapping[int, Place]
    ) -> bool:
        assert len(places) <= MERGE_MAX, f"{len(places)} places, at most {MERGE_MAX}"
        flat: list[Argument] = []
        for user, place in places.items():
            flat += [user, place.encode()]
        return bool(await self._run("merge", sale_id, epoch, rebuilder, *flat))

    async def finish_rebuild(
        self, sale_id: int, epoch: int, rebuilder: str, meta: RebuildMeta
    ) -> bool:
        """As the port says; a repeat after it succeeded answers True while the sale is frozen."""
        return bool(await self._run("finish", sale_id, epoch, rebuilder, *meta))
