"""Wait queues: reminders on the laboratory's single server, as adapters/rabbitmq/reminders.

A wait is the sum of a few fixed ones, the longest first. After each, whoever reads the reminders
sends the message on. So they are late by a quarter of a second at most while one reads, and never
early.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from miaosha.domain.errors import OutcomeUnknown
from miaosha.domain.messages import MalformedMessage
from miaosha.ports.broker import Reminder, ReminderHandler
from tests.lab.broker_single import REMINDERS_NAME, SingleServer
from tests.lab.broker_single_reader import SessionReader
from tests.lab.link import Link

STEPS_MS: Final = (60_000, 1_000, 250)
LONGEST_MS: Final = 3_600_000
TOGETHER_MAX: Final = 256  # reminders in one message
PREFETCH: Final = 16


class WaitingMessage(msgspec.Struct, frozen=True, array_like=True):
    """`left_ms`: to wait after the queue it is in; `reminders`: pairs of sale and rid."""

    left_ms: int
    reminders: list[tuple[int, str]]


class WaitQueues:
    """Args: owner: whom the server disconnects with it."""

    def __init__(self, server: SingleServer, link: Link, owner: object) -> None:
        self._server = server
        self._link = link
        self._owner = owner

    async def add(self, reminders: Sequence[Reminder], after_s: float) -> None:
        """In messages of TOGETHER_MAX; some may be there when one fails."""
        pairs = [(reminder.sale_id, reminder.rid) for reminder in reminders]
        for start in range(0, len(pairs), TOGETHER_MAX):
            part = pairs[start : start + TOGETHER_MAX]
            await self._send(WaitingMessage(int(after_s * 1000) + 1, part))

    async def _send(self, waiting: WaitingMessage) -> None:
        wait_ms = _first_wait(waiting.left_ms)
        left = WaitingMessage(max(0, waiting.left_ms - wait_ms), waiting.reminders)
        raw = msgspec.msgpack.encode(left)

        def put() -> None:
            self._server.make(REMINDERS_NAME)
            if wait_ms:
                self._server.wait(wait_ms, raw)
            else:
                self._server.put(REMINDERS_NAME, raw)

        await self._link("broker.remind", put, lost=OutcomeUnknown)

    async def deliver(self, handler: ReminderHandler) -> None:
        async def due(messages: Sequence[WaitingMessage]) -> None:
            for waiting in messages:
                if waiting.left_ms > 0:
                    await self._send(waiting)
            now = [Reminder(*p) for w in messages if w.left_ms <= 0 for p in w.reminders]
            for start in range(0, len(now), TOGETHER_MAX):
                await handler(now[start : start + TOGETHER_MAX])

        reader = SessionReader(
            self._server,
            self._link,
            self._owner,
            REMINDERS_NAME,
            "reminders",
            made=True,
            prefetch=PREFETCH,
            decode=_decode,
        )
        await reader.run(due)


def _first_wait(wait_ms: int) -> int:
    """The longest wait there is within `wait_ms`, rounded up to a quarter."""
    last = STEPS_MS[-1]
    wait_ms = min(-(-wait_ms // last) * last, LONGEST_MS)
    return next((wait_ms // step * step for step in STEPS_MS if wait_ms >= step), 0)


def _decode(raw: bytes) -> WaitingMessage:
    try:
        return msgspec.msgpack.decode(raw, type=WaitingMessage)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedMessage(str(error)) from error
