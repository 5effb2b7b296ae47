"""Queue reader: one consumer of one queue: take a group, handle it, acknowledge it.

At least once and in order: a group is acknowledged after its handler returned. While a handler
fails, the group stays in hand, and nothing is put back (no storm of returns). A reader that stops
or loses the connection gives it back by closing the channel. It does not know what messages mean.

A message of type BARRIER is no message: it is answered once everything before it is acknowledged.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

import structlog
from pamqp.commands import Basic

from miaosha.adapters.rabbitmq.channels import Channel
from miaosha.adapters.rabbitmq.link import COMMAND_TIMEOUT_S, Delivered, Link, NoQueue, reaching
from miaosha.adapters.rabbitmq.topology import QuorumQueue, counted, make
from miaosha.domain.errors import DependencyDown, Fault
from miaosha.domain.messages import MalformedMessage

BARRIER: Final = "barrier"
PAUSE_FIRST_S: Final = 0.05
PAUSE_MAX_S: Final = 1.0
HOLD_MAX_S: Final = 600.0  # a group in hand; brokers end a consumer after 1,800 s
WINDOW_MAX: Final = 64  # messages the broker lends us at most

Message = TypeVar("Message")
Handler = Callable[[list[Message]], Awaitable[None]]

log = structlog.get_logger()


class PoisonMessage(NamedTuple):
    """A message nobody can decode."""

    queue: str
    reason: str
    raw: bytes


Park = Callable[[PoisonMessage], Awaitable[None]]


class _QueueDropped(Exception):
    """The queue does not exist any more."""


class QuorumReader(Generic[Message]):
    """See the module.

    Args:
        prefetch: messages of one group at most.
        decode: raises MalformedMessage; such a message goes to `park` and is acknowledged.
    """

    def __init__(
        self,
        link: Link,
        queue: QuorumQueue,
        consumer: str,
        *,
        prefetch: int,
        decode: Callable[[bytes], Message],
        park: Park,
    ) -> None:
        self._link = link
        self._queue = queue
        self._consumer = consumer
        self._prefetch = prefetch
        self._decode = decode
        self._park = park
        self._pause_s = PAUSE_FIRST_S

    async def run(self, handler: Handler[Message]) -> None:
        """Deliver until cancelled, or until the queue was dropped. A broker that is away is waited
        for with growing pauses of at most a second. A message that could not surely be parked comes
        again."""
        while True:
            try:
                if self._queue.made:
                    await make(self._link, self._queue)
                async with self._link.channel() as channel:
                    await self._session(channel, handler)
            except (_QueueDropped, NoQueue):
                if not self._queue.made:
                    return
            except Fault as error:  # also a message that could not surely be parked
                log.warning("broker_away", queue=self._queue.name, error=str(error))
            await self._pause()

    async def _session(self, channel: Channel, handler: Handler[Message]) -> None:
        """Consume on one channel until it ends, or a group was in hand for too long."""
        arrivals = Deliveries(channel)
        window = 1 if self._prefetch == 1 else min(2 * self._prefetch, WINDOW_MAX)
        async with asyncio.timeout(COMMAND_TIMEOUT_S):
            await channel.basic_qos(prefetch_count=window)
            await channel.basic_consume(self._queue.name, arrivals.add, consumer_tag=self._consumer)
        while True:
            group = await arrivals.take(self._prefetch)
            if not group:
                await self._why_ended(channel)
                return
            if not await self._group(channel, group, handler):
                return

    async def _why_ended(self, channel: Channel) -> None:
        """The broker cancelled us, or the channel is closed: dropped, or to begin again?"""
        if channel.is_closed:
            raise DependencyDown("broker: the channel was closed")
        try:
            with reaching():
                await counted(channel, self._queue.name)
        except NoQueue:
            raise _QueueDropped from None

    async def _group(
        self, channel: Channel, group: Sequence[Delivered], handler: Handler[Message]
    ) -> bool:
        """False: it was given up, and comes again on another channel."""
        messages = await self._decoded(group)
        loop = asyncio.get_running_loop()
        began = loop.time()
        while messages:
            try:
                await handler(messages)
                break
            except Exception as error:
                self._report(error)
            await self._pause()
            if channel.is_closed or loop.time() - began > HOLD_MAX_S:
                return False
        with reaching():
            await channel.basic_ack(tag_of(group[-1]), multiple=True)
        self._pause_s = PAUSE_FIRST_S
        await _answer_barriers(channel, group)
        return True

    async def _decoded(self, group: Sequence[Delivered]) -> list[Message]:
        messages: list[Message] = []
        for one in group:
            if one.header.properties.message_type == BARRIER:
                continue
            try:
                messages.append(self._decode(one.body))
            except MalformedMessage as error:
                queue, reason = self._queue.name, str(error)[:200]
                log.error("message_parked", queue=queue, reason=reason, bytes=len(one.body))
                await self._park(PoisonMessage(queue, reason, one.body))
        return messages

    def _report(self, error: Exception) -> None:
        if isinstance(error, Fault):
            text = f"{type(error).__name__}: {error}"
            log.warning("handler_waits", queue=self._queue.name, error=text)
        else:
            log.exception("handler_failed", queue=self._queue.name)

    async def _pause(self) -> None:
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(self._pause_s * 2, PAUSE_MAX_S)


class Deliveries:
    """What the broker has delivered and nobody has taken, bounded by the channel's prefetch."""

    def __init__(self, channel: Channel) -> None:
        self._waiting: deque[Delivered] = deque()
        self._some = asyncio.Event()
        self._ended = False
        self._channel = channel
        channel.closing.add_done_callback(self._end)
        channel.on_consumer_cancel_callbacks.add(self._end)

    async def add(self, message: Delivered) -> None:
        self._waiting.append(message)
        self._some.set()

    def _end(self, _: Any) -> None:
        self._ended = True
        self._some.set()

    async def take(self, count: int) -> list[Delivered]:
        """1 to `count` messages; none when there will be no more."""
        await self._some.wait()
        if not self._ended:
            await asyncio.sleep(0)  # what arrived in the same breath
        if self._channel.is_closed or not self._waiting:
            return []
        group = [self._waiting.popleft() for _ in range(min(count, len(self._waiting)))]
        if not self._waiting and not self._ended:
            self._some.clear()
        return group


def tag_of(message: Delivered) -> int:
    delivery = message.delivery
    assert isinstance(delivery, Basic.Deliver) and delivery.delivery_tag is not None
    return delivery.delivery_tag


async def _answer_barriers(channel: Channel, group: Sequence[Delivered]) -> None:
    for one in group:
        asked = one.header.properties
        if asked.message_type == BARRIER and asked.reply_to:
            with reaching():
                answer = Basic.Properties(correlation_id=asked.correlation_id)
                await channel.basic_publish(b"", routing_key=asked.reply_to, properties=answer)
