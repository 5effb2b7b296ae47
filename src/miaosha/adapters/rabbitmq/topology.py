"""Topology: names and kinds of everything Miaosha has in RabbitMQ, and how it is made.

A sale has a quorum queue `sale.7.requests` with one active consumer at a time; the next one takes
over at once, so that order holds. It also has a stream `sale.7.log`. Both are bound to the exchange
`miaosha.requests` by the sale's key. Beside them: `mail`, `parked`, `reminders` and the delay
queues `reminders.in.…ms` that dead-letter into it. All are durable.
"""

import asyncio
from typing import Any, Final, NamedTuple

from miaosha.adapters.rabbitmq.channels import Channel
from miaosha.adapters.rabbitmq.link import COMMAND_TIMEOUT_S, Link, NoQueue, Properties

EXCHANGE: Final = "miaosha.requests"
MAIL_MAX: Final = 100_000  # mails queued at most; the outbox keeps the rest
PARKED_MAX: Final = 10_000  # parked messages kept; the oldest goes
REMINDERS_MAX: Final = 1_000_000  # in one delay queue; the sweep finds what is refused
SETTLE_S: Final = 2.0  # a new queue's name is safely on the server's disk
UNLIMITED_SINCE: Final = (4, 0)  # from here on a queue without a delivery limit must say so

Arguments = dict[str, Any]


class QuorumQueue(NamedTuple):
    """`arguments`: beside what every quorum queue has. `made`: made again when it is missing (else
    a missing queue ends its reading)."""

    name: str
    arguments: Arguments
    made: bool = True


def _dead_letters(to: str) -> Arguments:
    """A dead message goes there. But for delay queues only an operator's policy makes any. We set
    no limit and reject nothing, and what is refused at full length was never taken."""
    return {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": to,
        "x-overflow": "reject-publish",
    }


PARKED: Final = QuorumQueue("parked", {"x-max-length": PARKED_MAX})
MAIL: Final = QuorumQueue("mail", {**_dead_letters(PARKED.name), "x-max-length": MAIL_MAX})
REMINDERS: Final = QuorumQueue("reminders", _dead_letters(PARKED.name))


def requests_of(sale_id: int) -> QuorumQueue:
    """Its dead letters are not sent at least once: see `delay_of`. The log has every batch."""
    arguments = {**_dead_letters(PARKED.name), "x-single-active-consumer": True}
    return QuorumQueue(f"sale.{sale_id}.requests", arguments, made=False)


def log_of(sale_id: int) -> str:
    return f"sale.{sale_id}.log"


def key_of(sale_id: int) -> str:
    return f"sale.{sale_id}"


def delay_of(after_ms: int) -> QuorumQueue:
    """One time to live per queue, and in its name: a queue expires messages at its head only. A
    dead message stays until `reminders` has confirmed it.

    Nothing else is at least once, and these queues are never deleted. Measured on 3.10: deleting
    one in the moment in which it gets its leader ends the server's supervisor of all that forward
    dead letters. Then no queue of that kind, old or new, finds a leader until the server restarts.
    A sale's own queue is deleted, so it must not be of that kind.
    """
    arguments = {
        **_dead_letters(REMINDERS.name),
        "x-dead-letter-strategy": "at-least-once",
        "x-message-ttl": after_ms,
        "x-max-length": REMINDERS_MAX,
    }
    return QuorumQueue(f"reminders.in.{after_ms}ms", arguments)


async def arguments_of(link: Link, queue: QuorumQueue) -> Arguments:
    """What a queue is declared with on this server. No redelivery may ever drop a batch. Servers
    before 4.0 know no limit unless told, and refuse -1; later ones have one of 20."""
    unlimited = {"x-delivery-limit": -1} if await link.version() >= UNLIMITED_SINCE else {}
    return {"x-queue-type": "quorum", **queue.arguments, **unlimited}


async def make(link: Link, queue: QuorumQueue) -> None:
    """The queue, unless it is there, however it was made (an older version, a policy)."""
    try:
        await count(link, queue.name)
    except NoQueue:
        arguments = await arguments_of(link, queue)
        async with link.channel() as channel, asyncio.timeout(COMMAND_TIMEOUT_S):
            await channel.queue_declare(queue.name, durable=True, arguments=arguments)


async def publish(
    link: Link,
    queue: QuorumQueue,
    body: bytes,
    properties: Properties | None = None,
    timeout_s: float = COMMAND_TIMEOUT_S,
) -> None:
    """Publish to a queue that is made when it is missing. Raises as `Link.publish` does."""
    try:
        await link.publish(body, queue.name, properties=properties, timeout_s=timeout_s)
    except NoQueue:
        await make(link, queue)
        await link.publish(body, queue.name, properties=properties, timeout_s=timeout_s)


async def make_sale(link: Link, sale_id: int, settle_s: float = SETTLE_S) -> None:
    """The sale's queue and log. The queue is bound first: a batch that stood in the log alone would
    be confirmed and never delivered.

    Until they are bound nothing is confirmed, and that is after `settle_s`: a server writes down
    the names of new queues with a delay. Measured on 3.10: one killed up to 0.8 s after it made its
    first queue and stream knew neither any more. After 1 s it knew both. A log that holds anything
    was bound by somebody who had waited.
    """
    queue, log, key = requests_of(sale_id), log_of(sale_id), key_of(sale_id)
    await make(link, PARKED)
    await make(link, queue)
    async with link.channel() as channel, asyncio.timeout(2 * COMMAND_TIMEOUT_S):
        found = await channel.queue_declare(log, durable=True, arguments={"x-queue-type": "stream"})
        await channel.exchange_declare(EXCHANGE, exchange_type="direct", durable=True)
    if not found.message_count:
        await asyncio.sleep(settle_s)
    async with link.channel() as channel, asyncio.timeout(COMMAND_TIMEOUT_S):
        await channel.queue_bind(queue.name, EXCHANGE, key)
        await channel.queue_bind(log, EXCHANGE, key)


async def drop_sale(link: Link, sale_id: int) -> None:
    async with link.channel() as channel, asyncio.timeout(2 * COMMAND_TIMEOUT_S):
        await channel.queue_delete(requests_of(sale_id).name)  # a missing one is deleted, too
        await channel.queue_delete(log_of(sale_id))


class QueueCount(NamedTuple):
    ready: int
    consumers: int


async def count(link: Link, name: str) -> QueueCount:
    """Messages that nobody has in hand, and the queue's consumers. Raises NoQueue."""
    async with link.channel() as channel:
        return await counted(channel, name)


async def counted(channel: Channel, name: str) -> QueueCount:
    async with asyncio.timeout(COMMAND_TIMEOUT_S):
        found = await channel.queue_declare(name, passive=True)
    return QueueCount(found.message_count or 0, found.consumer_count or 0)
