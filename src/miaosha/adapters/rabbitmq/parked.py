"""RabbitMQ parking lot: messages nobody could decode, in the queue `parked`, bounded.

The body is the message's beginning (at most RAW_MAX bytes); headers: queue, reason, at_ms, size.
A look takes them all in hand and gives them back; one look at a time. What a broker's own limit put
there has no such headers, but says itself where it came from.
"""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from aiormq.exceptions import ChannelLockedResource
from pamqp.commands import Basic

from miaosha.adapters.rabbitmq.channels import Channel
from miaosha.adapters.rabbitmq.link import COMMAND_TIMEOUT_S, Delivered, Link, NoQueue
from miaosha.adapters.rabbitmq.quorum_reader import PoisonMessage
from miaosha.adapters.rabbitmq.topology import PARKED, PARKED_MAX, count, counted, publish
from miaosha.domain.errors import DependencyDown, Problem
from miaosha.ports.broker import Parked

TURN: Final = "parked.turn"
TURN_S: Final = 10.0
TURN_AGAIN_S: Final = 0.05
BACK_S: Final = 2.0
RAW_MAX: Final = 16_384  # bytes kept of one: more than the largest batch there can be


class RabbitParkingLot:
    """Args: now_ms: Unix ms, for the time of parking."""

    def __init__(self, link: Link, now_ms: Callable[[], int]) -> None:
        self._link = link
        self._now_ms = now_ms
        self._looking = asyncio.Lock()

    async def park(self, poison: PoisonMessage) -> None:
        """Keep it. A crash before it is acknowledged in its queue parks it twice."""
        headers: dict[str, Any] = {
            "queue": poison.queue,
            "reason": poison.reason,
            "at_ms": self._now_ms(),
            "size": len(poison.raw),
        }
        properties = Basic.Properties(message_id=uuid.uuid4().hex, headers=headers)
        await publish(self._link, PARKED, poison.raw[:RAW_MAX], properties)

    async def newest(self, limit: int) -> list[Parked]:
        """The newest `limit` entries, newest first."""
        async with self._all() as (_, messages):
            found = [_parked(message) for message in messages]
        return found[::-1][: max(1, limit)]

    async def count(self) -> int:
        """Those in the hand of somebody who looks at them are left out."""
        try:
            return (await count(self._link, PARKED.name)).ready
        except NoQueue:
            return 0

    async def redrive(self, parked_id: str) -> bool:
        """See the port. A crash in the middle puts it back twice rather than never.

        Raises:
            Problem: conflict if only the beginning of the message was kept, or its queue is gone.
        """
        async with self._all() as (channel, messages):
            for message in messages:
                parked = _parked(message)
                if parked.id == parked_id:
                    await self._put_back(message, parked)
                    await channel.basic_ack(message.delivery_tag or 0)
                    messages.remove(message)
                    return True
        return False

    async def _put_back(self, message: Delivered, parked: Parked) -> None:
        size: Any = _headers(message).get("size", len(parked.raw))
        if size > len(parked.raw):
            raise Problem("conflict", "Only the beginning of this message was kept.")
        try:
            await self._link.publish(parked.raw, parked.queue)
        except NoQueue:
            raise Problem(
                "conflict", "The queue of this message does not exist any more."
            ) from None

    @asynccontextmanager
    async def _all(self) -> AsyncIterator[tuple[Channel, list[Delivered]]]:
        """All of them, oldest first, in hand until the end of the body."""
        async with self._looking, self._turn(), self._link.channel() as channel:
            messages: list[Delivered] = []
            try:
                while len(messages) < PARKED_MAX:
                    got = await channel.basic_get(PARKED.name, timeout=COMMAND_TIMEOUT_S)
                    if not isinstance(got.delivery, Basic.GetOk):
                        break
                    messages.append(got)
            except Exception as error:
                if "no queue" not in str(error):
                    raise
            yield channel, messages
            if messages and not channel.is_closed:
                await _give_back(channel, len(messages))

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """One look at a time among all processes, since what one has in hand others do not see: the
        turn is a queue that belongs to one connection, and ends with it.

        Raises:
            DependencyDown: others did not let us within TURN_S.
        """
        try:
            async with asyncio.timeout(TURN_S):
                while not await self._taken():  # noqa: ASYNC110
                    await asyncio.sleep(TURN_AGAIN_S)
        except TimeoutError:
            raise DependencyDown("broker: others look at the parked messages") from None
        try:
            yield
        finally:
            # A connection that was lost took its turn with it; the turn may be another's by now.
            with contextlib.suppress(DependencyDown):
                async with self._link.channel() as channel:
                    await channel.queue_delete(TURN)

    async def _taken(self) -> bool:
        async with self._link.channel() as channel:
            try:
                await channel.queue_declare(TURN, exclusive=True)
            except ChannelLockedResource:
                return False
            return True


async def _give_back(channel: Channel, taken: int) -> None:
    """All that was not acknowledged, and wait until it is there again: to be seen by the next who
    looks. Fewer come back if meanwhile newer ones took their room."""
    await channel.basic_nack(0, multiple=True, requeue=True)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(BACK_S):
            while (await counted(channel, PARKED.name)).ready < taken:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


def _headers(message: Delivered) -> dict[str, Any]:
    return dict(message.header.properties.headers or {})


def _parked(message: Delivered) -> Parked:
    headers = _headers(message)
    queue: Any = headers.get("queue") or headers.get("x-first-death-queue", "")
    reason: Any = headers.get("reason") or headers.get("x-first-death-reason", "")
    return Parked(
        id=message.header.properties.message_id or "",
        queue=str(queue),
        reason=str(reason),
        parked_at_ms=int(headers.get("at_ms", 0)),
        raw=message.body,
    )
