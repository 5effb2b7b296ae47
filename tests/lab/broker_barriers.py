"""Barrier gauge: how full a sale is on the laboratory's single server, as adapters/rabbitmq asks.

What a consumer has in hand is not counted there. A barrier through the queue tells whether it has
anything.
"""

import asyncio
from typing import Final

from miaosha.domain.errors import DependencyDown
from miaosha.ports.broker import Pressure
from tests.lab.broker_options import BrokerOptions
from tests.lab.broker_shelf import QueueMissing, now_s
from tests.lab.broker_single import QueueLength, SingleServer, log_name, queue_name
from tests.lab.link import Link

ANSWER_S: Final = 0.25  # a consumer that takes longer has something in hand
LOST_S: Final = 5.0  # an answer this late may be lost
GUESSED_BYTES: Final = 1_000  # of a message, before this process has seen one


class BarrierQuestions:
    """At most one per queue and process that is younger than LOST_S and unanswered.

    Args:
        port: whose calls these are, `broker` or `queue`.
    """

    def __init__(self, server: SingleServer, link: Link, port: str) -> None:
        self._server = server
        self._link = link
        self._port = port
        self._generation = server.generation
        self._asked: dict[str, tuple[asyncio.Event, float]] = {}  # by queue; loop time

    async def passed(self, queue: str) -> bool:
        """Whether everything in the queue before this call is acknowledged; False: not within
        ANSWER_S. Raises DependencyDown."""
        if self._generation != self._server.generation:
            self._generation = self._server.generation
            self._asked.clear()
        earlier = self._asked.get(queue)
        if earlier and not earlier[0].is_set() and now_s() - earlier[1] < LOST_S:
            return False
        name = self._server.new_name()
        answered = await self._link(
            f"{self._port}.ask", lambda: self._server.ask(queue, name, self)
        )
        self._asked[queue] = answered, now_s()
        try:
            async with asyncio.timeout(ANSWER_S):
                await answered.wait()
                await self._link(f"{self._port}.hear_answer", lambda: None)
        except (TimeoutError, DependencyDown):
            return False
        return True

    def close(self) -> None:
        self._server.disconnect(self)


class BarrierGauge:
    """Args: see LabBroker."""

    def __init__(self, server: SingleServer, link: Link, options: BrokerOptions) -> None:
        self._server = server
        self._link = link
        self._options = options
        self._questions = BarrierQuestions(server, link, "broker")
        self._since_s: dict[int, float] = {}  # since when a queue was never seen empty
        self._seen_bytes = 0
        self._seen = 0

    def see(self, size: int) -> None:
        """Note the size of a batch."""
        self._seen_bytes += size
        self._seen += 1

    async def read(self, sale_id: int, *, exact: bool) -> Pressure:
        """`backlog` is at least 1 while anything is in hand, but does not count it; `oldest_ms` is
        how long this process has not seen the queue empty. Raises DependencyDown."""
        queue, log = queue_name(sale_id), log_name(sale_id)
        try:
            found = await self._count(queue)
            entries = await self._link("broker.count_log", lambda: self._server.log(log).counted())
        except QueueMissing:
            self._since_s.pop(sale_id, None)
            return Pressure(0, 0, False)
        backlog = await self._backlog(queue, found) if exact else found.ready
        mean = self._seen_bytes // self._seen if self._seen else GUESSED_BYTES
        full = self._options.is_full(backlog, entries * mean)
        return Pressure(backlog, entries * mean, full, self._age_ms(sale_id, backlog))

    async def _count(self, queue: str) -> QueueLength:
        return await self._link("broker.count", lambda: self._server.count(queue))

    async def _backlog(self, queue: str, found: QueueLength) -> int:
        if found.ready or not found.consumers:
            return found.ready
        if await self._questions.passed(queue):
            return 0
        return max(1, (await self._count(queue)).ready)

    def _age_ms(self, sale_id: int, backlog: int) -> int:
        if not backlog:
            self._since_s.pop(sale_id, None)
            return 0
        return int((now_s() - self._since_s.setdefault(sale_id, now_s())) * 1000)

    def close(self) -> None:
        self._questions.close()
