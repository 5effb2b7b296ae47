"""Queue gauge: how full a sale's queue and log are.

A queue tells only what nobody has in hand. To know that nothing is in hand either, a barrier is
sent through the queue. Its one active consumer answers when everything before is acknowledged. The
size of the log is an estimate: its length times the mean size of messages seen here. Brokers count
the length every few seconds.
"""

import asyncio
import uuid
from typing import Final

from pamqp.commands import Basic

from miaosha.adapters.rabbitmq.channels import Channel
from miaosha.adapters.rabbitmq.link import COMMAND_TIMEOUT_S, Delivered, Link, NoQueue, reaching
from miaosha.adapters.rabbitmq.open_channel import KeptChannel
from miaosha.adapters.rabbitmq.quorum_reader import BARRIER
from miaosha.adapters.rabbitmq.topology import QueueCount, counted, log_of, requests_of
from miaosha.ports.broker import Pressure

ANSWER_S: Final = 0.25  # a consumer that takes longer has something in hand
LOST_S: Final = 5.0  # an answer this late may be lost: who was to give it died, or the queue hung
REPLIES: Final = "amq.rabbitmq.reply-to"
GUESSED_BYTES: Final = 1_000  # of a message, before this process has seen one


class Barriers:
    """At most one barrier per queue and process that is younger than LOST_S and unanswered."""

    def __init__(self, link: Link) -> None:
        self._kept = KeptChannel(link, self._listen)
        self._asked: dict[str, tuple[str, float]] = {}  # by queue: name, loop time
        self._by_id: dict[str, asyncio.Future[None]] = {}

    async def passed(self, queue: str) -> bool:
        """Whether everything in the queue before this call is acknowledged; False: not within
        ANSWER_S. Raises DependencyDown."""
        channel = await self._kept.get()
        loop = asyncio.get_running_loop()
        earlier, asked_s = self._asked.get(queue, ("", 0.0))
        if earlier in self._by_id and loop.time() - asked_s < LOST_S:
            return False
        self._by_id.pop(earlier, None)
        answer: asyncio.Future[None] = loop.create_future()
        name = uuid.uuid4().hex
        self._asked[queue], self._by_id[name] = (name, loop.time()), answer
        properties = Basic.Properties(
            message_type=BARRIER, correlation_id=name, reply_to=REPLIES, delivery_mode=2
        )
        async with asyncio.timeout(COMMAND_TIMEOUT_S):
            await channel.basic_publish(b"", routing_key=queue, properties=properties)
        done, _ = await asyncio.wait({answer}, timeout=ANSWER_S)
        return bool(done)

    async def _listen(self, channel: Channel) -> None:
        self._asked.clear()
        self._by_id.clear()
        await channel.basic_consume(REPLIES, self._heard, no_ack=True)

    async def _heard(self, message: Delivered) -> None:
        answer = self._by_id.pop(message.header.properties.correlation_id or "", None)
        if answer is not None and not answer.done():
            answer.set_result(None)

    async def close(self) -> None:
        await self._kept.close()


class QuorumGauge:
    """Args: see RabbitBroker."""

    def __init__(self, link: Link, backlog_max: int, log_max_bytes: int) -> None:
        self._counting = KeptChannel(link)
        self._backlog_max = backlog_max
        self._log_max_bytes = log_max_bytes
        self._barriers = Barriers(link)
        self._since: dict[int, float] = {}  # loop time since when a queue was never seen empty
        self._seen_bytes = 0
        self._seen = 0

    def see(self, size: int) -> None:
        """Note the size of a batch."""
        self._seen_bytes += size
        self._seen += 1

    async def read(self, sale_id: int, *, exact: bool) -> Pressure:
        """`backlog` is at least 1 while anything is in hand, but does not count it; `oldest_ms` is
        how long this process has not seen the queue empty. Raises DependencyDown."""
        queue = requests_of(sale_id).name
        try:
            found = await self._count(queue)
            entries = (await self._count(log_of(sale_id))).ready
        except NoQueue:
            self._since.pop(sale_id, None)
            return Pressure(0, 0, False)
        backlog = await self._backlog(queue, found) if exact else found.ready
        mean = self._seen_bytes // self._seen if self._seen else GUESSED_BYTES
        full = backlog > self._backlog_max or entries * mean > self._log_max_bytes
        return Pressure(backlog, entries * mean, full, self._age_ms(sale_id, backlog))

    async def _count(self, name: str) -> QueueCount:
        channel = await self._counting.get()
        with reaching():
            return await counted(channel, name)

    async def _backlog(self, queue: str, found: QueueCount) -> int:
        if found.ready or not found.consumers:
            return found.ready
        if await self._barriers.passed(queue):
            return 0
        return max(1, (await self._count(queue)).ready)

    def _age_ms(self, sale_id: int, backlog: int) -> int:
        if not backlog:
            self._since.pop(sale_id, None)
            return 0
        now = asyncio.get_running_loop().time()
        return int((now - self._since.setdefault(sale_id, now)) * 1000)

    async def close(self) -> None:
        await self._counting.close()
        await self._barriers.close()
