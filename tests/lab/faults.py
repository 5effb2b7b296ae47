"""Faults: what may befall a call between a process and a server, and the link that lets it happen.

A call takes a moment to arrive and its answer a moment to return. In between the server is at one
instant. A call whose caller has given up may still arrive.
"""

import asyncio
from collections.abc import Callable
from contextvars import Context
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeVar

from miaosha.domain.errors import DependencyDown, Fault
from tests.lab.dice import Row

if TYPE_CHECKING:
    from tests.lab.process import Process

T = TypeVar("T")

MOMENT_S: Final = 0.001  # from a process to whoever asked it
SLOW_S: Final = (0.3, 7.0)  # of a call that is stuck
CUT_S: Final = (0.5, 8.0)  # a process is cut off one server
HEALED_S: Final = 3.0  # after an event the scheduler has looked, and a rebuild has ended
PATIENCE_S: Final = 0.5  # until a client takes a server that is away for away
SERVER_OF: Final = {  # by the prefix of a call
    "store": "store",
    "reader": "store",
    "heartbeats": "store",
    "bus": "store",
    "broker": "broker",
    "queue": "broker",
    "sql": "sql",
    "provider": "provider",
    "mail": "mail",
}
REPEATABLE: Final = ("store.", "heartbeats.", "provider.")


class Mishap(StrEnum):
    AWAY = "away"  # before: nothing was done
    LOST = "lost"  # after: done, and the answer lost
    GONE = "gone"  # never arrived, which nobody can tell from LOST
    SLOW = "slow"  # it arrives late; the caller may have given up by then
    LATE = "late"  # done, and the answer comes late
    TWICE = "twice"  # it arrives twice
    DIES_BEFORE = "dies before"
    DIES_AFTER = "dies after"
    CUT = "cut"  # the process is cut off this server for a while


class Weather:
    """What the faults of one history are like.

    Args:
        rate: faults a call.
        kinds: those there are in this history.
        moment_s: seconds of a call to arrive, or of an answer to return, at most.
        focus: only calls whose names begin like this meet any; (): all.
        happened: counts them, by (call, kind).
    """

    def __init__(
        self, rate: float, kinds: list[Mishap], moment_s: float, focus: tuple[str, ...] = ()
    ) -> None:
        self.focus = focus
        self.moment_s = moment_s
        self.rate = rate if kinds else 0.0
        self.kinds = kinds
        self.over = False
        self.happened: dict[tuple[str, Mishap], int] = {}

    def mishap(self, row: Row, call: str) -> Mishap | None:
        if self.over or (self.focus and not call.startswith(self.focus)):
            return None
        rolled = row.one_of(self.rate, len(self.kinds)) if self.rate else 0
        if not rolled:
            return None
        kind = self.kinds[rolled - 1]
        if kind is Mishap.TWICE and not call.startswith(REPEATABLE):
            return None
        self.happened[call, kind] = self.happened.get((call, kind), 0) + 1
        return kind


class Reach:
    """Whether servers can be reached: `away` until a time of the loop, by server, and by process
    and server."""

    def __init__(self) -> None:
        self.away: dict[str, float] = {}

    def until(self, name: str, server: str) -> float:
        away = self.away
        return max(away.get(server, 0.0), away.get(f"{name}/{server}", 0.0))


class ProcessLink:
    """Implements link.Link for one process.

    Args:
        rows: (moments, faults, durations) of this process.
        noted: hears of every call that was done, and of what befell it.
    """

    def __init__(
        self,
        process: "Process",
        weather: Weather,
        reach: Reach,
        rows: tuple[Row, Row, Row],
        noted: Callable[["Process", str, Mishap | None], None],
    ) -> None:
        self._process = process
        self._weather = weather
        self._reach = reach
        self._moments, self._faults, self._durations = rows
        self._noted = noted
        self._loop = asyncio.get_running_loop()

    async def __call__(
        self, call: str, act: Callable[[], T], *, lost: type[Fault] = DependencyDown
    ) -> T:
        server = SERVER_OF[call.partition(".")[0]]
        process, moments = self._process, self._moments
        mishap = self._weather.mishap(self._faults, call)
        if mishap is Mishap.CUT:
            until_s = self._loop.time() + self._durations.span(*CUT_S)
            self._reach.away[f"{process.name}/{server}"] = until_s
        await self._pause(moments.span(0, self._weather.moment_s))
        if self._reach.until(process.name, server) > self._loop.time() or mishap is Mishap.AWAY:
            self._noted(process, call, mishap)
            await asyncio.sleep(0.0 if mishap is Mishap.AWAY else PATIENCE_S)
            raise DependencyDown(f"{server}: away")
        if mishap is Mishap.GONE:
            self._noted(process, call, mishap)
            await self._pause(PATIENCE_S)
            raise lost(f"{call}: no answer")
        if mishap is Mishap.DIES_BEFORE:
            self._noted(process, call, mishap)
            await process.dies()
        try:
            if mishap is Mishap.SLOW:
                answer = await self._stuck(call, act)
            else:
                self._noted(process, call, mishap)
                answer = act()
                if mishap is Mishap.TWICE:
                    answer = act()
        finally:
            if mishap is Mishap.DIES_AFTER:
                await process.dies()
            returns_s = moments.span(0, self._weather.moment_s)
            if mishap is Mishap.LATE:
                returns_s += self._durations.span(*SLOW_S)
            await self._pause(returns_s)
        if mishap is Mishap.LOST or self._reach.until(process.name, server) > self._loop.time():
            raise lost(f"{call}: the answer was lost")
        return answer

    async def _pause(self, seconds: float) -> None:
        """As asyncio.sleep, without asking each time which loop runs."""
        over = self._loop.create_future()
        timer = self._loop.call_later(seconds, _set, over)
        try:
            await over
        finally:
            timer.cancel()

    async def _stuck(self, call: str, act: Callable[[], T]) -> T:
        """The call is on its way for long. It arrives even if its caller has given up, or died."""
        answer: asyncio.Future[T] = self._loop.create_future()

        def arrive() -> None:
            self._noted(self._process, call, Mishap.SLOW)
            try:
                result = act()
            except Exception as error:
                if not answer.done():
                    answer.set_exception(error)
                    answer.exception()  # its caller may be gone
            else:
                if not answer.done():
                    answer.set_result(result)

        after_s = self._durations.span(*SLOW_S)
        self._loop.call_later(after_s, arrive, context=Context())
        return await answer


def _set(over: "asyncio.Future[None]") -> None:
    if not over.done():
        over.set_result(None)
