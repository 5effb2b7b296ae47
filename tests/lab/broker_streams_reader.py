"""Group reader: one consumer of one stream of the laboratory, as adapters/redis/stream_reader is.

First what this consumer (by name) left, then what others gave back or left for too long, then what
is new. Each look, acknowledgement and claim is one call that may fail.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from miaosha.domain.errors import DependencyDown
from miaosha.domain.messages import MalformedMessage
from tests.lab.broker_shelf import QueueMissing, heard, now_s
from tests.lab.broker_streams import MAIL_KEY, StreamEntry, StreamsServer
from tests.lab.link import Link

PAUSE_FIRST_S: Final = 0.05
PAUSE_MAX_S: Final = 1.0
GIVE_BACK_S: Final = 1.0
BLOCK_MAX_MS: Final = 1_000

Message = TypeVar("Message")


class GroupReader(Generic[Message]):
    """Args:
    prefetch: entries of one group at most.
    reclaim_after_ms: entries idle for so long belong to a dead consumer.
    decode: raises MalformedMessage; such an entry is parked.
    """

    def __init__(
        self,
        server: StreamsServer,
        link: Link,
        key: str,
        consumer: str,
        *,
        prefetch: int,
        reclaim_after_ms: int,
        decode: Callable[[bytes], Message],
    ) -> None:
        self._server = server
        self._link = link
        self._key = key
        self._consumer = consumer
        self._prefetch = prefetch
        self._reclaim_s = reclaim_after_ms / 1000
        self._decode = decode
        self._pause_s = PAUSE_FIRST_S
        self._look_at_s = 0.0  # loop time of the next look for what is abandoned
        self._generation = server.generation
        self._what = "_mail" if key == MAIL_KEY else ""

    async def run(self, handler: Callable[[list[Message]], Awaitable[None]]) -> None:
        """Until cancelled, or until the stream was dropped."""
        own, missing = True, False
        try:
            while True:
                try:
                    if missing:
                        await self._call("open", lambda: self._server.make(self._key))
                        missing = False
                    own = await self._step(handler, own)
                except QueueMissing:
                    missing = True
                    if self._key != MAIL_KEY:
                        return
                except DependencyDown:
                    self._generation = self._server.generation
                    await self._pause()
                    own = True
        except asyncio.CancelledError:
            await self._give_back()
            raise

    async def _call(self, call: str, act: Callable[[], object]) -> None:
        await self._link(f"broker.{call}{self._what}", act)

    async def _give_back(self) -> None:
        with contextlib.suppress(DependencyDown, TimeoutError):
            async with asyncio.timeout(GIVE_BACK_S):
                await self._call(
                    "give_back",
                    lambda: self._server.stream(self._key).give_back(
                        self._consumer, self._reclaim_s
                    ),
                )

    async def _step(self, handler: Callable[[list[Message]], Awaitable[None]], own: bool) -> bool:
        """One group. Returns whether our own unacknowledged entries come next."""
        news = self._server.news.of(self._key)
        entries = await self._entries(own)
        if not entries:
            if not own:
                await heard(news, min(BLOCK_MAX_MS / 1000, max(0.02, self._reclaim_s / 4)))
            return False
        numbers = [entry.number for entry in entries]
        async with self._claimed(numbers):
            messages = await self._decoded(entries)
            try:
                if messages:
                    await handler(messages)
            except Exception:
                await self._pause()
                return True
        await self._call("acknowledge", lambda: self._server.stream(self._key).acknowledge(numbers))
        self._pause_s = PAUSE_FIRST_S
        return own

    async def _entries(self, own: bool) -> list[StreamEntry]:
        server, key, consumer, count = self._server, self._key, self._consumer, self._prefetch
        generation = self._generation
        if own:
            return await self._link(
                f"broker.fetch_own{self._what}",
                lambda: server.stream(key, generation).own(consumer, count),
            )
        if now_s() >= self._look_at_s:
            entries = await self._link(
                f"broker.fetch_abandoned{self._what}",
                lambda: server.stream(key, generation).abandoned(consumer, self._reclaim_s, count),
            )
            if entries:
                return entries
            self._look_at_s = now_s() + self._reclaim_s / 4
        return await self._link(
            f"broker.fetch{self._what}",
            lambda: server.stream(key, generation).fresh(consumer, count),
        )

    async def _decoded(self, entries: Sequence[StreamEntry]) -> list[Message]:
        messages: list[Message] = []
        for entry in entries:
            try:
                messages.append(self._decode(entry.raw))
            except MalformedMessage as error:
                reason = str(error)[:200] if entry.readable else "no message field"
                await self._park(entry, reason)
        return messages

    async def _park(self, entry: StreamEntry, reason: str) -> None:
        await self._call("park", lambda: self._server.park(self._key, entry, reason))

    @contextlib.asynccontextmanager
    async def _claimed(self, numbers: Sequence[int]) -> AsyncIterator[None]:
        """While the body runs, no other consumer takes these entries for abandoned."""
        keeping = asyncio.create_task(self._keep(numbers), name=f"keep {self._key}")
        try:
            yield
        finally:
            keeping.cancel()

    async def _keep(self, numbers: Sequence[int]) -> None:
        while True:
            await asyncio.sleep(self._reclaim_s / 3)
            with contextlib.suppress(DependencyDown):
                await self._call(
                    "claim", lambda: self._server.stream(self._key).keep(self._consumer, numbers)
                )

    async def _pause(self) -> None:
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(self._pause_s * 2, PAUSE_MAX_S)
