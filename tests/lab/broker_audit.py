"""Audited logs: what an audit reads of a sale's log on either of the laboratory's brokers."""

import contextlib
from collections import deque
from collections.abc import AsyncIterator, Collection
from typing import Final

from miaosha.ports.auditing import Logged, read_batch
from tests.lab.broker_barriers import BarrierQuestions
from tests.lab.broker_shelf import QueueMissing
from tests.lab.broker_single import SingleServer, log_name, queue_name
from tests.lab.broker_single_log import read_log, write_mark
from tests.lab.broker_single_reader import WINDOW_MAX
from tests.lab.broker_streams import StreamEntry, StreamsServer, requests_key
from tests.lab.link import Link

STREAM_PAGE: Final = 100
SINGLE_PAGE: Final = 200


async def open_stream(server: StreamsServer, link: Link, sale_id: int) -> "StreamLog | None":
    """None if the sale has no stream. Raises DependencyDown."""
    key = requests_key(sale_id)

    def handed_out() -> int | None:
        return server.streams[key].handed_out if key in server.streams else None

    def pending() -> list[int]:
        return list(server.streams[key].pending) if key in server.streams else []

    found = await link("queue.open", handed_out)
    if found is None:
        return None
    return StreamLog(server, link, sale_id, found, await link("queue.pending", pending))


class StreamLog:
    """Implements ports/auditing.Log. What was handed out after its opening counts as open."""

    def __init__(
        self,
        server: StreamsServer,
        link: Link,
        sale_id: int,
        handed_out: int,
        pending: Collection[int],
    ) -> None:
        self._server = server
        self._link = link
        self._sale_id = sale_id
        self._handed_out = handed_out
        self._pending = frozenset(pending)

    async def pages(self, newest: int | None = None) -> AsyncIterator[list[Logged]]:
        after = 0
        if newest is not None:
            length = await self._link("queue.count_log", lambda: len(self._entries()))
            after = max(0, length - newest)
        while True:
            page = await self._link(
                "queue.read_log",
                lambda after=after: self._entries()[after : after + STREAM_PAGE],  # type: ignore[misc]
            )
            yield [self._logged(entry) for entry in page if entry]
            if len(page) < STREAM_PAGE:
                return
            after += STREAM_PAGE

    def _entries(self) -> list[StreamEntry | None]:
        stream = self._server.streams.get(requests_key(self._sale_id))
        return stream.entries if stream else []

    def _logged(self, entry: StreamEntry) -> Logged:
        waits = entry.number in self._pending or entry.number >= self._handed_out
        batch = read_batch(entry.raw, self._sale_id)
        return Logged(*batch, waits) if batch else Logged("", 0, waits)


async def open_single(
    server: SingleServer, link: Link, questions: BarrierQuestions, sale_id: int
) -> "MarkedLog | None":
    """None if the sale has no queue or no log. Raises DependencyDown. The mark comes before the
    look at the queue: what is behind it is not judged at all."""
    queue = queue_name(sale_id)
    try:
        mark = await write_mark(server, link, "queue", log_name(sale_id))
        found = await link("queue.count", lambda: server.count(queue))
    except QueueMissing:
        return None
    held = found.ready
    if found.consumers and (found.ready or not await questions.passed(queue)):
        held += WINDOW_MAX
    return MarkedLog(server, link, sale_id, mark, held)


class MarkedLog:
    """Implements ports/auditing.Log: the log up to `mark`, its last `held` batches open."""

    def __init__(
        self, server: SingleServer, link: Link, sale_id: int, mark: str, held: int
    ) -> None:
        self._server = server
        self._link = link
        self._sale_id = sale_id
        self._mark = mark
        self._held = held

    async def pages(self, newest: int | None = None) -> AsyncIterator[list[Logged]]:
        tail: deque[Logged] = deque()
        page: list[Logged] = []
        bodies = read_log(
            self._server, self._link, "queue", log_name(self._sale_id), self._mark, newest
        )
        async with contextlib.aclosing(bodies):
            async for raw in bodies:
                batch = read_batch(raw, self._sale_id)
                if batch is None:
                    page.append(Logged("", 0, open=False))
                else:
                    tail.append(Logged(*batch, open=False))
                if len(tail) > self._held:
                    page.append(tail.popleft())
                if len(page) >= SINGLE_PAGE:
                    yield page
                    page = []
        yield page
        while tail:
            some = min(SINGLE_PAGE, len(tail))
            yield [tail.popleft()._replace(open=True) for _ in range(some)]
