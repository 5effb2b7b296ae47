"""RabbitMQ reminders: a message waits out a delay queue's time to live.

It then dead-letters into `reminders`. There its consumer hands it over, or lets it wait on. A wait
is the sum of a few fixed ones (whole minutes, seconds, quarters), the longest first. So any time
needs at most WAITS queues. Waits are rounded up: late by a quarter of a second at most, never
early. They only make it punctual: the sweep finds whatever is lost here.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec
import structlog

from miaosha.adapters.rabbitmq.link import Link
from miaosha.adapters.rabbitmq.quorum_reader import Park, QuorumReader
from miaosha.adapters.rabbitmq.topology import REMINDERS, delay_of, make, publish
from miaosha.domain.errors import DependencyDown, OutcomeUnknown
from miaosha.domain.messages import MalformedMessage
from miaosha.ports.broker import Reminder, ReminderHandler

STEPS_MS: Final = (60_000, 1_000, 250)
LONGEST_MS: Final = 3_600_000
WAITS: Final = 60 + 59 + 3
TOGETHER_MAX: Final = 256  # reminders in one message
PREFETCH: Final = 16
TAKEN_S: Final = 2.0  # grants wait for it, so no longer
REST_S: Final = 30.0  # nothing is sent for so long after a queue took nothing

log = structlog.get_logger()


class WaitingReminders(msgspec.Struct, frozen=True, array_like=True):
    """`left_ms`: to wait after the queue it is in; `reminders`: pairs of sale and rid."""

    left_ms: int
    reminders: list[tuple[int, str]]


def first_wait(wait_ms: int) -> int:
    """The longest wait there is a queue for within `wait_ms`, rounded up to a quarter; 0 for 0."""
    last = STEPS_MS[-1]
    wait_ms = min(-(-wait_ms // last) * last, LONGEST_MS)
    return next((wait_ms // step * step for step in STEPS_MS if wait_ms >= step), 0)


class RabbitReminders:
    """Sent on a connection of their own. A delay queue without a leader holds up the channel that
    publishes to it, and in the end the whole connection. `delay_of` tells when 3.10 has such.

    Args:
        link: to read with.
        sending: to send with, and nothing else is.
    """

    def __init__(self, link: Link, sending: Link) -> None:
        self._link = link
        self._sending = sending
        self._rest_until = 0.0  # loop time
        self._made = False  # whether dead letters have somewhere to go

    async def add(self, reminders: Sequence[Reminder], after_s: float) -> None:
        """Raises a Fault when they could not be left with the broker."""
        pairs = [(reminder.sale_id, reminder.rid) for reminder in reminders]
        for start in range(0, len(pairs), TOGETHER_MAX):
            await self._send(
                WaitingReminders(int(after_s * 1000) + 1, pairs[start : start + TOGETHER_MAX])
            )

    async def _send(self, waiting: WaitingReminders) -> None:
        wait_ms = first_wait(waiting.left_ms)
        queue = delay_of(wait_ms) if wait_ms else REMINDERS
        left = WaitingReminders(max(0, waiting.left_ms - wait_ms), waiting.reminders)
        loop = asyncio.get_running_loop()
        if loop.time() < self._rest_until:
            raise DependencyDown("broker: reminders rest")
        if not self._made:
            await make(self._link, REMINDERS)
            self._made = True
        try:
            body = msgspec.msgpack.encode(left)
            await publish(self._sending, queue, body, timeout_s=TAKEN_S)
        except OutcomeUnknown:
            if self._sending.up:  # so it is the queue
                log.error("reminders_stuck", queue=queue.name, rest_s=REST_S)
                self._rest_until = loop.time() + REST_S
                await self._sending.hang_up()
            raise

    async def deliver(self, handler: ReminderHandler, park: Park) -> None:
        """Until cancelled; a handler that raises gets the same reminders again."""

        async def due(messages: Sequence[WaitingReminders]) -> None:
            for waiting in messages:
                if waiting.left_ms > 0:
                    await self._send(waiting)
            now = [Reminder(*p) for w in messages if w.left_ms <= 0 for p in w.reminders]
            for start in range(0, len(now), TOGETHER_MAX):
                await handler(now[start : start + TOGETHER_MAX])

        reader = QuorumReader(
            self._link, REMINDERS, "reminders", prefetch=PREFETCH, decode=_decode, park=park
        )
        await reader.run(due)


def _decode(raw: bytes) -> WaitingReminders:
    try:
        return msgspec.msgpack.decode(raw, type=WaitingReminders)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedMessage(str(error)) from error
