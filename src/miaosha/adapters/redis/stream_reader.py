"""Stream reader: one consumer of one stream through a consumer group: read, handle, acknowledge.

At least once, and in order while one consumer lives. It takes first what this consumer (by name)
left unacknowledged, then what another gave back or left for longer than `reclaim_after_ms`, then
what is new. A group of entries is acknowledged after its handler returned, and kept claimed until
then. The reader does not know what the messages mean: `decode` and `park` are passed in.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

import structlog
from redis.exceptions import ResponseError

from miaosha.adapters.redis.abandoned import Abandoned, loop_s
from miaosha.adapters.redis.bell import Bell, Quiet, Ticket
from miaosha.adapters.redis.connect import Client, reaching
from miaosha.adapters.redis.stream_queue import FIELD, Entry, StreamQueue, is_missing, make_queue
from miaosha.domain.errors import DependencyDown, Fault
from miaosha.domain.messages import MalformedMessage

PAUSE_FIRST_S: Final = 0.05
PAUSE_MAX_S: Final = 1.0
GIVE_BACK_S: Final = 1.0
LEFT_MAX: Final = 100  # entries given back at the end
AWAKE_S: Final = 5.0  # a queue without news for so long is left to the bell
BLOCK_MAX_MS: Final = 1_000  # below the client's command timeout

Message = TypeVar("Message")

log = structlog.get_logger()


class PoisonEntry(NamedTuple):
    """An entry nobody can decode."""

    queue: StreamQueue
    entry_id: bytes
    reason: str
    raw: bytes


Park = Callable[[PoisonEntry], Awaitable[None]]


class _StreamDropped(Exception):
    """The stream does not exist any more."""


class StreamReader(Generic[Message]):
    """See the module.

    Args:
        prefetch: entries of one group at most.
        reclaim_after_ms: entries idle for so long belong to a dead consumer.
        decode: raises MalformedMessage; such an entry goes to `park`, which also acknowledges it.
        bell: waits for the queue while it is quiet; None: the reader does, on a connection of its
            own.
    """

    def __init__(
        self,
        client: Client,
        queue: StreamQueue,
        consumer: str,
        *,
        prefetch: int,
        reclaim_after_ms: int,
        decode: Callable[[bytes], Message],
        park: Park,
        bell: Bell | None = None,
    ) -> None:
        self._client = client
        self._queue = queue
        self._consumer = consumer
        self._prefetch = prefetch
        self._reclaim_after_ms = reclaim_after_ms
        self._decode = decode
        self._park = park
        self._bell = bell
        self._ticket: Ticket | None = None
        self._awake_until = 0.0  # loop time; 0: nothing came yet
        self._abandoned = Abandoned(client, queue, consumer, prefetch, reclaim_after_ms)
        self._pause_s = PAUSE_FIRST_S

    async def run(self, handler: Callable[[list[Message]], Awaitable[None]]) -> None:
        """Deliver until cancelled, or until the stream was dropped. It waits for a server that is
        away. A handler that raises gets the same messages again. Both have growing pauses of at
        most a second. Cancelled, it leaves what is undone to others."""
        try:
            await self._deliver(handler)
        except asyncio.CancelledError:
            await self._give_back()
            raise
        finally:
            if self._bell and self._ticket:
                self._bell.leave(self._ticket)

    async def _deliver(self, handler: Callable[[list[Message]], Awaitable[None]]) -> None:
        own = True
        while True:
            try:
                own = await self._step(handler, own)
            except _StreamDropped:
                return
            except DependencyDown as error:
                log.warning("broker_away", queue=self._queue.key, error=str(error))
                await self._pause()
                own = True  # what was on its way to us is ours and unacknowledged

    async def _give_back(self) -> None:
        """Our entries look abandoned now: a successor waits for no `reclaim_after_ms`."""
        queue = self._queue
        with contextlib.suppress(DependencyDown, ResponseError, TimeoutError):
            async with asyncio.timeout(GIVE_BACK_S):
                with reaching("broker"):
                    left: Any = await self._client.xpending_range(
                        queue.key, queue.group, "-", "+", LEFT_MAX, consumername=self._consumer
                    )
                    if ids := [entry["message_id"] for entry in left]:
                        idle_ms = self._reclaim_after_ms
                        await self._client.xclaim(
                            queue.key,
                            queue.group,
                            self._consumer,
                            0,
                            ids,
                            idle=idle_ms,
                            justid=True,
                        )

    async def _step(self, handler: Callable[[list[Message]], Awaitable[None]], own: bool) -> bool:
        """One group. Returns whether our own unacknowledged entries come next."""
        entries = await self._entries(own)
        if not entries:
            return False
        self._awake_until = loop_s() + AWAKE_S
        ids = [entry_id for entry_id, _ in entries]
        async with self._claimed(ids):
            messages = await self._decoded(entries)
            try:
                if messages:
                    await handler(messages)
            except Exception as error:
                self._report(error)
                await self._pause()
                return True
        await self._acknowledge(ids)
        self._pause_s = PAUSE_FIRST_S
        return own

    async def _entries(self, own: bool) -> list[Entry]:
        bell, missing = self._bell, False
        drowsy = bell is not None and loop_s() >= self._awake_until
        entries: list[Entry] = []
        with reaching("broker"):
            try:
                if own:
                    async with bell.turns if bell is not None else contextlib.nullcontext():
                        entries = await self._read("0", block_ms=None)
                elif bell is not None and drowsy:
                    entries = await self._last_look(bell)
                else:
                    entries = await self._abandoned.take()
                    entries = entries or await self._read(">", block_ms=self._block_ms)
            except ResponseError as error:
                if not is_missing(error):
                    raise
                missing = True
        if missing:
            await self._found_missing()
        elif bell is not None and drowsy and not own and not entries:
            await self._sleep(bell)  # out here: nothing above may hide that we were cancelled
        return entries

    async def _last_look(self, bell: Bell) -> list[Entry]:
        """What is there before falling asleep."""
        async with bell.turns:
            if entries := await self._abandoned.take():
                return entries
            if self._ticket is None:  # asked before the look below, so that nothing falls between
                self._ticket = bell.enter(await self._quiet())
            if entries := await self._read(">", block_ms=None):
                return entries
        if not self._ticket.covered.is_set() and self._awake_until:
            return await self._read(">", block_ms=self._block_ms)
        return []

    async def _sleep(self, bell: Bell) -> None:
        """Until there may be something to read."""
        ticket, self._ticket = self._ticket, None
        if ticket is None:
            return
        try:
            await ticket.rung()
        finally:
            bell.leave(ticket)
        self._awake_until = loop_s() + AWAKE_S
        self._abandoned.look_again()

    async def _quiet(self) -> Quiet:
        stream: Any = await self._client.xinfo_stream(self._queue.key)
        return Quiet(self._queue.key, self._queue.group, stream["last-generated-id"])

    @property
    def _block_ms(self) -> int:
        return min(BLOCK_MAX_MS, max(20, self._reclaim_after_ms // 4))

    async def _read(self, after: str, block_ms: int | None) -> list[Entry]:
        queue = self._queue
        answer: Any = await self._client.xreadgroup(
            queue.group, self._consumer, {queue.key: after}, count=self._prefetch, block=block_ms
        )
        return list(answer[0][1]) if answer else []

    async def _found_missing(self) -> None:
        with reaching("broker"):
            if not self._queue.made and not await self._client.exists(self._queue.key):
                raise _StreamDropped
            await make_queue(self._client, self._queue)

    async def _decoded(self, entries: Sequence[Entry]) -> list[Message]:
        messages: list[Message] = []
        for entry_id, fields in entries:
            if not fields:  # deleted while it was pending: nothing is left to handle
                continue
            raw = fields.get(FIELD, b"")
            try:
                messages.append(self._decode(raw))
            except MalformedMessage as error:
                reason = str(error)[:200] if FIELD in fields else "no message field"
                log.error("message_parked", queue=self._queue.key, reason=reason, bytes=len(raw))
                await self._park(PoisonEntry(self._queue, entry_id, reason, raw))
        return messages

    @contextlib.asynccontextmanager
    async def _claimed(self, ids: Sequence[bytes]) -> AsyncIterator[None]:
        """While the body runs, no other consumer may take these entries for abandoned."""
        keeping = asyncio.create_task(self._keep(ids))
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.wait({keeping})

    async def _keep(self, ids: Sequence[bytes]) -> None:
        queue = self._queue
        while True:
            await asyncio.sleep(self._reclaim_after_ms / 3_000)
            with contextlib.suppress(DependencyDown, ResponseError), reaching("broker"):
                await self._client.xclaim(
                    queue.key, queue.group, self._consumer, 0, list(ids), justid=True
                )

    async def _acknowledge(self, ids: Sequence[bytes]) -> None:
        queue = self._queue
        with reaching("broker"):
            if not queue.trimmed:
                await self._client.xack(queue.key, queue.group, *ids)
                return
            pipe = self._client.pipeline(transaction=True)
            pipe.xack(queue.key, queue.group, *ids)
            pipe.xdel(queue.key, *ids)
            await pipe.execute()

    def _report(self, error: Exception) -> None:
        queue = self._queue.key
        if isinstance(error, Fault):
            log.warning("handler_waits", queue=queue, error=f"{type(error).__name__}: {error}")
        else:
            log.exception("handler_failed", queue=queue)

    async def _pause(self) -> None:
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(self._pause_s * 2, PAUSE_MAX_S)
