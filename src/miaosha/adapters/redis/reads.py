"""Reads: what the store returns without changing anything."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from redis.asyncio import RedisCluster
from redis.exceptions import RedisClusterException

from miaosha.adapters.redis.connect import Client, reaching
from miaosha.adapters.redis.scripts import Argument, load, run, run_each, sale_keys
from miaosha.domain.allocation import Place
from miaosha.domain.errors import DependencyDown
from miaosha.ports.store import Head, PlaceView, Reading, Ungranted

UNGRANTED_MAX = 512  # holds one `ungranted` answers
HEADS_MAX = 1000  # buyers one `heads` answers


class Reads:
    """The reading half of `RedisStore`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def now_ms(self) -> int:
        with reaching("store"):
            seconds, micros = await self._client.time()
        return int(seconds) * 1000 + int(micros) // 1000

    async def reading(self, sale_id: int) -> Reading | None:
        return _reading(sale_id, await self._run("reading", sale_id))

    async def readings(
        self, sale_ids: Sequence[int], within_s: float | None = None
    ) -> dict[int, Reading | None]:
        answers = await self._run_each("reading", sale_ids, within_s=within_s)
        return {sale_id: _reading(sale_id, answer) for sale_id, answer in answers.items()}

    async def place(self, sale_id: int, user_id: int) -> PlaceView | None:
        return _place(await self._run("place", sale_id, user_id))

    async def places(self, sale_ids: Sequence[int], user_id: int) -> dict[int, PlaceView | None]:
        answers = await self._run_each("place", sale_ids, user_id)
        return {sale_id: _place(answer) for sale_id, answer in answers.items()}

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

    async def _run_each(
        self, name: str, sale_ids: Sequence[int], *args: Argument, within_s: float | None = None
    ) -> dict[int, Any]:
        """The script's result for each sale whose server answers. Raises DependencyDown if none."""
        parts = await self._by_server(sale_ids)
        answers = await asyncio.gather(
            *(self._run_part(name, part, args, within_s) for part in parts), return_exceptions=True
        )
        found: dict[int, Any] = {}
        faults: list[DependencyDown] = []
        for answer in answers:
            if isinstance(answer, DependencyDown):
                faults.append(answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                found |= answer
        if faults and not found:
            raise faults[0]
        return found

    async def _run_part(
        self,
        name: str,
        sale_ids: Sequence[int],
        args: Sequence[Argument],
        within_s: float | None,
    ) -> dict[int, Any]:
        keys = [sale_keys(sale_id) for sale_id in sale_ids]
        with reaching("store"):
            async with asyncio.timeout(within_s):
                answers = await run_each(self._client, load(name), keys, args)
        found = zip(sale_ids, answers, strict=True)
        return {id_: answer for id_, answer in found if not isinstance(answer, Exception)}

    async def _by_server(self, sale_ids: Sequence[int]) -> list[list[int]]:
        """Those that one server has together; a slot that nobody serves is by itself."""
        client = self._client
        if not isinstance(client, RedisCluster):
            return [list(sale_ids)] if sale_ids else []
        parts: defaultdict[str, list[int]] = defaultdict(list)
        with reaching("store"):
            await client.initialize()
        for sale_id in sale_ids:
            try:
                node = client.get_node_from_key(sale_keys(sale_id)[0])
                parts[node.name if node else ""].append(sale_id)
            except RedisClusterException:
                parts[""].append(sale_id)
        return list(parts.values())


def _place(answer: Any) -> PlaceView | None:
    if answer is None:
        return None
    place, ungranted, position = answer
    return PlaceView(Place.parse(place.decode()), bool(ungranted), position or None)


def _reading(sale_id: int, answer: Any) -> Reading | None:
    if answer is None:
        return None
    epoch, genuine, phase, *counts = answer
    return Reading(sale_id, epoch, bool(genuine), phase.decode(), *counts)


__all__ = ["HEADS_MAX", "UNGRANTED_MAX", "Reads"]
