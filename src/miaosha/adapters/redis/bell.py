"""Bell: one connection waits for all the quiet queues of a process, instead of one for each.

A reader whose queue has been silent for a while takes a ticket and sleeps. The bell rings for three
reasons: the stream has a newer entry, entries are pending that somebody may have left, or the queue
is gone. The bell claims nothing; the reader reads by itself.
"""

import asyncio
from typing import Any, Final, NamedTuple

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from miaosha.adapters.redis.connect import reaching
from miaosha.domain.errors import DependencyDown

BLOCK_MS: Final = 1_000  # of one wait at the server; below the client's command timeout
GROWING_BLOCK_MS: Final = 50  # … while queues keep coming, so that each is waited for soon
PAUSE_S: Final = 0.5  # after the server did not answer
AT_ONCE: Final = 32  # calls of readers that fall asleep
QUEUES_MAX: Final = 256  # asked for what is pending in one round trip

log = structlog.get_logger()


class Quiet(NamedTuple):
    """A queue to wait for: its stream, its group, and the last entry that is no news."""

    key: str
    group: str
    after: bytes


class Ticket:
    """A reader's place at the bell. `covered`: the server is being asked for its queue."""

    __slots__ = ("_rung", "covered", "queue")

    def __init__(self, queue: Quiet) -> None:
        self.queue = queue
        self.covered = asyncio.Event()
        self._rung = asyncio.Event()

    async def rung(self) -> None:
        """Returns when there may be something to read."""
        await self._rung.wait()

    def ring(self) -> None:
        self.covered.set()
        self._rung.set()


class Bell:
    """Args:
    client: of one server; its calls may block there for BLOCK_MS.
    look_s: seconds between two looks for entries that are pending.

    Attributes:
        turns: limits the calls of readers that are about to sleep.
    """

    def __init__(self, client: Redis, look_s: float) -> None:
        self._client = client
        self._look_s = look_s
        self._tickets: dict[str, Ticket] = {}
        self._task: asyncio.Task[None] | None = None
        self.turns = asyncio.Semaphore(AT_ONCE)

    def enter(self, queue: Quiet) -> Ticket:
        """Wait for this queue from the next question on."""
        ticket = self._tickets[queue.key] = Ticket(queue)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="bell")
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Its reader ends."""
        if self._tickets.get(ticket.queue.key) is ticket:
            del self._tickets[ticket.queue.key]

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        """While somebody sleeps. Whatever ends it wakes all: they then read for themselves."""
        look_at = asyncio.get_running_loop().time() + self._look_s
        try:
            while self._tickets:
                try:
                    await self._wait()
                    if asyncio.get_running_loop().time() >= look_at:
                        await self._look()
                        look_at = asyncio.get_running_loop().time() + self._look_s
                except DependencyDown:  # readers at work tell of it
                    await asyncio.sleep(PAUSE_S)
        except Exception:
            log.exception("bell_failed")
        finally:
            for ticket in list(self._tickets.values()):
                self._ring(ticket)

    async def _wait(self) -> None:
        """Ask once for anything new in any of the queues."""
        tickets = dict(self._tickets)
        growing = not all(ticket.covered.is_set() for ticket in tickets.values())
        for ticket in tickets.values():
            ticket.covered.set()
        streams: Any = {key: ticket.queue.after for key, ticket in tickets.items()}
        block_ms = GROWING_BLOCK_MS if growing else BLOCK_MS
        with reaching("broker"):
            answer: Any = await self._client.xread(streams, count=1, block=block_ms)
        for key, _ in answer or ():
            self._ring(tickets[key.decode()])

    async def _look(self) -> None:
        """Ring where entries are pending, or the queue or its group is gone."""
        tickets = list(self._tickets.values())
        for start in range(0, len(tickets), QUEUES_MAX):
            part = tickets[start : start + QUEUES_MAX]
            pipe = self._client.pipeline(transaction=False)
            for ticket in part:
                pipe.xpending(ticket.queue.key, ticket.queue.group)
            with reaching("broker"):
                answers = await pipe.execute(raise_on_error=False)
            for ticket, answer in zip(part, answers, strict=True):
                if isinstance(answer, RedisError) or answer["pending"]:
                    self._ring(ticket)

    def _ring(self, ticket: Ticket) -> None:
        self.leave(ticket)
        ticket.ring()
