"""Stream gauge: how full queues on Redis are: unacknowledged entries, and bytes of the logs."""

from collections.abc import Sequence
from typing import Any, Final

from redis.exceptions import ResponseError

from miaosha.adapters.redis.connect import Client, reaching
from miaosha.adapters.redis.reminders import server_ms
from miaosha.adapters.redis.stream_queue import StreamQueue
from miaosha.ports.broker import Pressure

MEASURED_MAX: Final = 256  # queues measured in one round trip
COUNTED_MAX: Final = 1_000  # entries counted one by one when the server cannot tell

Group = dict[str, Any]


class StreamGauge:
    """Args: see RedisBroker. Everything raises DependencyDown."""

    def __init__(self, client: Client, backlog_max: int, log_max_bytes: int) -> None:
        self._client = client
        self._backlog_max = backlog_max
        self._log_max_bytes = log_max_bytes

    async def read(self, queue: StreamQueue) -> Pressure:
        with reaching("broker"):
            [(group, log_bytes)] = await self._measured([queue])
            if group is None:
                return Pressure(0, log_bytes, self._is_full(0, log_bytes))
            backlog = await self._backlog(queue, group)
            oldest_ms = await self._oldest_ms(queue, group) if backlog else 0
        return Pressure(backlog, log_bytes, self._is_full(backlog, log_bytes), oldest_ms)

    async def full(self, queues: Sequence[StreamQueue]) -> list[bool]:
        """Of each, whether it is over a limit."""
        found = []
        with reaching("broker"):
            for queue, (group, log_bytes) in zip(queues, await self._measured(queues), strict=True):
                backlog = await self._backlog(queue, group) if group else 0
                found.append(self._is_full(backlog, log_bytes))
        return found

    def _is_full(self, backlog: int, log_bytes: int) -> bool:
        return backlog > self._backlog_max or log_bytes > self._log_max_bytes

    async def _measured(self, queues: Sequence[StreamQueue]) -> list[tuple[Group | None, int]]:
        """What the server says of each queue's group (None: no group), and its stream's bytes."""
        measured: list[tuple[Group | None, int]] = []
        for start in range(0, len(queues), MEASURED_MAX):
            part = queues[start : start + MEASURED_MAX]
            pipe = self._client.pipeline(transaction=False)
            for queue in part:
                pipe.xinfo_groups(queue.key)
                pipe.memory_usage(queue.key)
            answers = await pipe.execute(raise_on_error=False)
            measured += map(_measure, part, answers[::2], answers[1::2])
        return measured

    async def _backlog(self, queue: StreamQueue, group: Group) -> int:
        lag = group["lag"]
        if lag is None:
            lag = await self._counted(queue, group["last-delivered-id"])
        return int(lag) + int(group["pending"])

    async def _counted(self, queue: StreamQueue, last_delivered: bytes) -> int:
        """Entries not delivered yet, counted up to COUNTED_MAX: the server's own count is lost
        when somebody deleted entries or moved the group by hand."""
        page: Any = await self._client.xrange(
            queue.key, b"(" + last_delivered, "+", count=COUNTED_MAX
        )
        return len(page)

    async def _oldest_ms(self, queue: StreamQueue, group: Group) -> int:
        pending: Any = await self._client.xpending(queue.key, queue.group)
        oldest = pending["min"]
        if oldest is None:
            after = b"(" + group["last-delivered-id"]
            page: Any = await self._client.xrange(queue.key, after, "+", count=1)
            if not page:
                return 0
            oldest = page[0][0]
        now_ms = await server_ms(self._client)
        return max(0, now_ms - int(oldest.partition(b"-")[0]))


def _measure(queue: StreamQueue, groups: Any, size: Any) -> tuple[Group | None, int]:
    if isinstance(groups, ResponseError) and "no such key" in str(groups):
        return None, 0
    for answer in (groups, size):
        if isinstance(answer, Exception):
            raise answer
    name = queue.group.encode()
    return next((group for group in groups if group["name"] == name), None), size or 0
