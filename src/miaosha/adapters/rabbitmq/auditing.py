"""The audit's view of a sale's queue on RabbitMQ, over a connection of its own.

The log is the stream. What is still in the queue cannot be looked at, only proven empty; until it
is, as many of the log's last batches count as open as the queue and its consumer may hold.
"""

import contextlib

from miaosha.adapters.rabbitmq import log as request_log
from miaosha.adapters.rabbitmq.link import Link, NoQueue
from miaosha.adapters.rabbitmq.pressure import Barriers
from miaosha.adapters.rabbitmq.reader import WINDOW_MAX
from miaosha.adapters.rabbitmq.topology import count, log_of, requests_of
from miaosha.ports.auditing import QueueFacts, read_batch


class RabbitQueueReader:
    """Implements ports/auditing.QueueReader. It writes an end mark into the log, which holds no
    batch, and a barrier into the queue, which its consumer takes away."""

    def __init__(self, url: str) -> None:
        self._link = Link(url)
        self._barriers = Barriers(self._link)

    async def facts(self, sale_id: int) -> QueueFacts | None:
        requests: dict[str, int] = {}
        undecodable = 0
        try:
            async with contextlib.aclosing(request_log.read(self._link, log_of(sale_id))) as log:
                async for raw in log:
                    batch = read_batch(raw, sale_id)
                    if batch is None:
                        undecodable += 1
                    else:
                        requests[batch[0]] = batch[1]
            held = await self._held_at_most(requests_of(sale_id).name)
        except NoQueue:
            return None
        return QueueFacts(requests, set(list(requests)[-held:]) if held else set(), undecodable)

    async def _held_at_most(self, queue: str) -> int:
        """Messages in the queue and in its consumer's hand; 0 is exact."""
        found = await count(self._link, queue)
        if not found.consumers:
            return found.ready
        if not found.ready and await self._barriers.passed(queue):
            return 0
        return found.ready + WINDOW_MAX

    async def close(self) -> None:
        await self._barriers.close()
        await self._link.close()
