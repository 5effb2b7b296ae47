"""Stream log: reads a sale's stream from its beginning, or from near its end, to its present end.

A stream tells no reader where it ends. So a reader first writes an end mark of its own, and stops
there. An end mark is no batch: its type says so, and others pass over it.
"""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from typing import Final

from pamqp.commands import Basic

from miaosha.adapters.rabbitmq.link import COMMAND_TIMEOUT_S, Link, reaching
from miaosha.adapters.rabbitmq.quorum_reader import Deliveries, tag_of
from miaosha.adapters.rabbitmq.topology import count
from miaosha.domain.errors import DependencyDown

END: Final = "end"
WINDOW: Final = 200  # messages the broker lends us at once
STALLED_S: Final = 10.0


async def mark(link: Link, stream: str) -> str:
    """Write an end mark; returns its name. Raises DependencyDown, NoQueue: there is no stream."""
    name = uuid.uuid4().hex
    await link.publish(b"", stream, properties=Basic.Properties(message_type=END, message_id=name))
    return name


async def read(
    link: Link, stream: str, until: str = "", newest: int | None = None
) -> AsyncGenerator[bytes, None]:
    """The bodies in order.

    Args:
        until: an end mark of this stream; default: a new one.
        newest: only so many of the last; a few more where end marks of others stand among them.

    Raises:
        DependencyDown, NoQueue: there is no such stream.
    """
    end = until or await mark(link, stream)
    offset: str | int = "first"
    if newest is not None:
        offset = max(0, (await count(link, stream)).ready - newest)
    async with link.channel() as channel:
        arrivals = Deliveries(channel)
        async with asyncio.timeout(COMMAND_TIMEOUT_S):
            await channel.basic_qos(prefetch_count=WINDOW)
            await channel.basic_consume(stream, arrivals.add, arguments={"x-stream-offset": offset})
        while True:
            async with asyncio.timeout(STALLED_S):
                group = await arrivals.take(WINDOW)
            if not group:
                raise DependencyDown(f"broker: {stream} ended early")
            with reaching():
                await channel.basic_ack(tag_of(group[-1]), multiple=True)
            for message in group:
                properties = message.header.properties
                if properties.message_type != END:
                    yield message.body
                elif properties.message_id == end:
                    return
