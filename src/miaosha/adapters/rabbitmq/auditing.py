"""Queue reader: the audit's view of a sale's queue on RabbitMQ, over a connection of its own.

The log is the stream. What is still in the queue cannot be looked at, only proven empty. Until that
is proven, the log's last batches count as open: as many as the queue and its consumer may hold.
"""

import contextlib
from collections import deque
from collections.abc import AsyncIterator

from miaosha.adapters.rabbitmq import stream_log as request_log
from miaosha.adapters.rabbitmq.link import Link, NoQueue
from miaosha.adapters.rabbitmq.pressure import Barriers
from miaosha.adapters.rabbitmq.quorum_reader import WINDOW_MAX
from miaosha.adapters.rabbitmq.topology import count, log_of, requests_of
from miaosha.ports.auditing import Logged, read_batch

PAGE = 200  # batches in one page


class RabbitQueueReader:
    """Implements ports/auditing.QueueReader. It writes an end mark into the log, which holds no
    batch, and a barrier into the queue, which its consumer takes away."""

    def __init__(self, url: str) -> None:
        self._link = Link(url)
        self._barriers = Barriers(self._link)

    async def open(self, sale_id: int) -> "RabbitLog | None":
        """The mark comes before the look at the queue: what is behind it is not judged at all."""
        try:
            mark = await request_log.mark(self._link, log_of(sale_id))
            held = await self._held_at_most(requests_of(sale_id).name)
        except NoQueue:
            return None
        return RabbitLog(self._link, sale_id, mark, held)

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


class RabbitLog:
    """Implements ports/auditing.Log: the stream up to `mark`, its last `held` batches open."""

    def __init__(self, link: Link, sale_id: int, mark: str, held: int) -> None:
        self._link = link
        self._sale_id = sale_id
        self._mark = mark
        self._held = held

    async def pages(self, newest: int | None = None) -> AsyncIterator[list[Logged]]:
        stream = log_of(self._sale_id)
        tail: deque[Logged] = deque()  # those of which it is not known yet whether they are open
        page: list[Logged] = []
        bodies = request_log.read(self._link, stream, self._mark, newest)
        async with contextlib.aclosing(bodies):
            async for raw in bodies:
                batch = read_batch(raw, self._sale_id)
                if batch is None:
                    page.append(Logged("", 0, open=False))
                else:
                    tail.append(Logged(*batch, open=False))
                if len(tail) > self._held:
                    page.append(tail.popleft())
                if len(page) >= PAGE:
                    yield page
                    page = []
        yield page
        while tail:
            yield [tail.popleft()._replace(open=True) for _ in range(min(PAGE, len(tail)))]
