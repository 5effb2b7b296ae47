"""Abandoned entries: what dead consumers of a stream have left: delivered, never acknowledged."""

import asyncio
from typing import Any, Final

from miaosha.adapters.redis.connect import Client
from miaosha.adapters.redis.stream_queue import Entry, StreamQueue

PENDING_MAX: Final = 100  # entries of others looked at


class Abandoned:
    """Args:
    consumer: who takes it over.
    prefetch: entries taken at once.
    reclaim_after_ms: entries idle for so long belong to a dead consumer.
    """

    def __init__(
        self,
        client: Client,
        queue: StreamQueue,
        consumer: str,
        prefetch: int,
        reclaim_after_ms: int,
    ) -> None:
        self._client = client
        self._queue = queue
        self._consumer = consumer
        self._prefetch = prefetch
        self._reclaim_after_ms = reclaim_after_ms
        self._look_at = 0.0  # loop time of the next look
        self._fresh_since: dict[bytes, float] = {}  # see `_held_by_time`

    def look_again(self) -> None:
        """The next call looks, however lately it was looked."""
        self._look_at = 0.0

    async def take(self) -> list[Entry]:
        """Some of it, ours from now on. Looks four times in `reclaim_after_ms` at most."""
        now = loop_s()
        if now < self._look_at:
            return []
        queue, cursor = self._queue, b"0-0"
        while True:
            answer: Any = await self._client.xautoclaim(
                queue.key,
                queue.group,
                self._consumer,
                self._reclaim_after_ms,
                start_id=cursor,
                count=self._prefetch,
            )
            cursor, entries = answer[0], answer[1]
            if entries:
                return list(entries)
            if cursor == b"0-0":
                self._look_at = now + self._reclaim_after_ms / 4_000
                return await self._held_by_time(now)

    async def _held_by_time(self, now: float) -> list[Entry]:
        """Entries of others that the server calls delivered this very millisecond, at every look
        for `reclaim_after_ms`. Its clock was set back, and calls them idle only when it has caught
        up."""
        queue = self._queue
        rows: Any = await self._client.xpending_range(queue.key, queue.group, "-", "+", PENDING_MAX)
        fresh = {
            row["message_id"]: self._fresh_since.get(row["message_id"], now)
            for row in rows
            if row["time_since_delivered"] == 0 and row["consumer"] != self._consumer.encode()
        }
        self._fresh_since = fresh
        held_s = self._reclaim_after_ms / 1_000
        ids = [entry_id for entry_id, since in fresh.items() if now - since >= held_s]
        if not ids:
            return []
        claimed: Any = await self._client.xclaim(
            queue.key, queue.group, self._consumer, 0, ids[: self._prefetch]
        )
        return list(claimed)


def loop_s() -> float:
    return asyncio.get_running_loop().time()
