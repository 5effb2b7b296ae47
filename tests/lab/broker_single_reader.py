"""Session reader: one consumer of one queue of the laboratory, as adapters/rabbitmq/quorum_reader.

A group is acknowledged after its handler returned, and stays in hand while that fails. A reader
that loses a call gives up its session and begins another. A barrier is no message: it is answered
once everything before it is acknowledged.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from miaosha.domain.errors import Fault, OutcomeUnknown
from miaosha.domain.messages import MalformedMessage
from tests.lab.broker_lending import LentMessage, ReadingSession
from tests.lab.broker_shelf import QueueMissing, heard, now_s
from tests.lab.broker_single import REMINDERS_NAME, SingleServer
from tests.lab.link import Link

PAUSE_FIRST_S: Final = 0.05
PAUSE_MAX_S: Final = 1.0
HOLD_MAX_S: Final = 600.0  # a group in hand
WINDOW_MAX: Final = 64  # messages the broker lends us at most
QUIET_S: Final = 60.0  # between two looks when nothing is heard

Message = TypeVar("Message")


class SessionReader(Generic[Message]):
    """Args:
    owner: the client, for the server to end its sessions with.
    made: the queue is made again when it is missing; else a missing one ends the reading.
    prefetch: messages of one group at most.
    decode: raises MalformedMessage; such a message is parked, and acknowledged with its group.
    """

    def __init__(
        self,
        server: SingleServer,
        link: Link,
        owner: object,
        queue: str,
        consumer: str,
        *,
        made: bool,
        prefetch: int,
        decode: Callable[[bytes], Message],
    ) -> None:
        self._server = server
        self._link = link
        self._owner = owner
        self._queue = queue
        self._consumer = consumer
        self._made = made
        self._prefetch = prefetch
        self._decode = decode
        self._pause_s = PAUSE_FIRST_S
        self._what = f"_{queue}" if made else ""

    async def run(self, handler: Callable[[list[Message]], Awaitable[None]]) -> None:
        """Until cancelled, or until the queue was dropped. As there, a message that could not
        surely be parked comes again."""
        while True:
            try:
                if self._made:
                    await self._call("open", lambda: self._server.make(self._queue))
                await self._read(handler)
            except QueueMissing:
                if not self._made:
                    return
            except Fault:
                pass
            await self._pause()

    async def _call(self, call: str, act: Callable[[], object]) -> None:
        await self._link(f"broker.{call}{self._what}", act)

    async def _read(self, handler: Callable[[list[Message]], Awaitable[None]]) -> None:
        """One session, closed at its end, whatever ends it but the death of the process."""
        server, queue, prefetch = self._server, self._queue, self._prefetch
        window = 1 if prefetch == 1 else min(2 * prefetch, WINDOW_MAX)
        session = ReadingSession(queue, self._owner, self._consumer, window)
        try:
            await self._call("subscribe", lambda: server.subscribe(session))
            await self._session(session, handler)
        except (Exception, asyncio.CancelledError):
            await self._close(session)
            raise
        await self._close(session)

    async def _close(self, session: ReadingSession) -> None:
        try:
            await self._call("unsubscribe", lambda: self._server.end(session))
        except Fault:
            self._server.forsake(session)
        except asyncio.CancelledError:
            self._server.end(session)
            raise

    async def _session(
        self, session: ReadingSession, handler: Callable[[list[Message]], Awaitable[None]]
    ) -> None:
        last = 0
        while True:
            news = self._server.news.of(self._queue)
            group = await self._fetch(session, last)
            if not group:
                await heard(news, self._quiet_s())
                continue
            if not await self._group(session, group, handler):
                return
            last = max(group)

    async def _fetch(self, session: ReadingSession, last: int) -> dict[int, LentMessage]:
        return await self._link(
            f"broker.fetch{self._what}",
            lambda: self._server.take(session, last, self._prefetch),
        )

    def _quiet_s(self) -> float:
        """The server wakes nobody when a reminder has waited its time: it has no timer."""
        due_s = self._server.next_due_s() if self._queue == REMINDERS_NAME else None
        return QUIET_S if due_s is None else min(QUIET_S, max(0.0, due_s - now_s()))

    async def _group(
        self,
        session: ReadingSession,
        group: dict[int, LentMessage],
        handler: Callable[[list[Message]], Awaitable[None]],
    ) -> bool:
        """False: it was given up, and comes again in another session."""
        messages = await self._decoded(group)
        began_s = now_s()
        while messages:
            try:
                await handler(messages)
                break
            except Exception:
                await self._pause()
            if session.ended or now_s() - began_s > HOLD_MAX_S:
                return False
        tag = max(group)
        await self._call("acknowledge", lambda: self._server.acknowledge(session, tag))
        self._pause_s = PAUSE_FIRST_S
        for message in group.values():
            if message.barrier:
                await self._answer(message.barrier)
        return True

    async def _answer(self, barrier: str) -> None:
        await self._call("answer", lambda: self._server.answer(barrier))

    async def _decoded(self, group: dict[int, LentMessage]) -> list[Message]:
        messages: list[Message] = []
        for message in group.values():
            if message.barrier:
                continue
            try:
                messages.append(self._decode(message.raw))
            except MalformedMessage as error:
                await self._park(message.raw, str(error)[:200])
        return messages

    async def _park(self, raw: bytes, reason: str) -> None:
        """Kept; acknowledged only later. A crash in between parks it twice."""
        await self._link(
            f"broker.park{self._what}",
            lambda: self._server.shelf.add(self._queue, reason, raw),
            lost=OutcomeUnknown,
        )

    async def _pause(self) -> None:
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(self._pause_s * 2, PAUSE_MAX_S)
