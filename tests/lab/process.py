"""Process: one process of a role: it starts, dies at once or drains, and is asked by people.

A process that dies is gone: its calls never return, no `finally` of it runs, and whoever asked it
something learns that the connection ended.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, TypeVar

from miaosha.domain.errors import Fault
from tests.lab.faults import MOMENT_S, ProcessLink
from tests.lab.loop import LIFE, Life

if TYPE_CHECKING:
    from tests.lab.broker import LabBroker
    from tests.lab.world import World

T = TypeVar("T")


class ConnectionEnded(Exception):
    """The process that was asked is gone; what it did is not known."""


class Process(Life):
    """Attributes:
    name: `role-number`; a successor has the same.
    link: the way of all its calls.
    parts: what its role made of itself; None until it is ready, and when it drains.
    """

    def __init__(self, world: "World", role: str, number: int, start: int) -> None:
        self.name = f"{role}-{number}"
        super().__init__(*world.machine_of(self.name))
        self.world = world
        self.role = role
        self.number = number
        self.code = self.name.encode()
        self.start_number = start
        self.counters: defaultdict[str, float] = defaultdict(float)
        self.watching: dict[int, int] = {}
        self.broker: LabBroker | None = None
        self.consumer_name = self.name
        self.parts: Any = None
        self.closing: Callable[[], Awaitable[None]] | None = None
        moments, faults, durations = (
            world.dice.row(f"{self.name} {of}") for of in ("moments", "faults", "durations")
        )
        rows = (moments, faults, durations)
        self.link = ProcessLink(
            self, world.weather, world.reach, world.patience, rows, world.noted, world.stuck
        )
        self._asked: dict[asyncio.Future[Any], None] = {}  # in their order
        self._context = copy_context()
        self._context.run(LIFE.set, self)
        self._main: asyncio.Task[None] | None = None

    def begin(self, role: Callable[["Process"], Awaitable[None]]) -> None:
        self._main = self.spawn(self._run(role))
        self._main.add_done_callback(self._over, context=Context())

    def spawn(self, work: Any) -> asyncio.Task[Any]:
        """A task of this process."""
        return asyncio.get_running_loop().create_task(work, context=self._context.copy())

    async def _run(self, role: Callable[["Process"], Awaitable[None]]) -> None:
        try:
            await role(self)
        except Fault as error:  # it could not even start: the supervisor starts it again
            self.world.say(self.name, f"did not start: {error}")
            await self.dies()

    def _over(self, main: "asyncio.Task[None]") -> None:
        if self.alive and not main.cancelled():
            error = main.exception() or RuntimeError("it ended by itself")
            self.world.oracles.broken(self.name, error)
            self.end("broke")

    async def dies(self) -> None:
        """It is killed here. Never returns within the process."""
        self.end("killed")
        await asyncio.get_running_loop().create_future()

    def end(self, how: str) -> None:
        """From outside: kill it, if it lives."""
        if not self.alive:
            return
        self.parts = None
        self.world.loop.kill(self)
        for future in self._asked:
            self.world.later(MOMENT_S, _end, future)
        self.world.gone(self, how)

    async def drain(self, within_s: float) -> None:
        """Stop as a roll stops it: in good order, and killed if that takes too long."""
        self.parts = None
        if self.closing is not None:
            work = self.spawn(self.closing())
            await asyncio.wait({work}, timeout=within_s)
        if self._main is not None and self.alive:
            self._main.cancel()
            await asyncio.wait({self._main}, timeout=1.0)
        self.end("drained")

    async def ask(self, work: Callable[[Any], Awaitable[T]], within_s: float) -> T:
        """What a request to this process comes to.

        Raises:
            ConnectionEnded: the process died, or did not answer in time.
        """
        parts = self.parts
        if parts is None:
            raise ConnectionEnded(self.name)
        told: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._asked[told] = None
        self.spawn(_answer(work, parts, told))
        try:
            async with asyncio.timeout(within_s):
                return await told
        except TimeoutError:
            raise ConnectionEnded(f"{self.name}: no answer") from None
        finally:
            self._asked.pop(told, None)


async def _answer(
    work: Callable[[Any], Awaitable[T]], parts: Any, told: "asyncio.Future[T]"
) -> None:
    try:
        answer = await work(parts)
    except Exception as error:
        if not told.done():
            told.set_exception(error)
    else:
        if not told.done():
            told.set_result(answer)


def _end(future: "asyncio.Future[Any]") -> None:
    if not future.done():
        future.set_exception(ConnectionEnded("died"))
