"""Faults: what may befall a call between a process and a server, and the link that lets it happen.

A call takes a moment to arrive and its answer a moment to return. In between the server is at one
instant. A caller waits as long as the product's own client does; what it has given up may still
arrive.
"""

import asyncio
import contextlib
from collections.abc import Callable
from contextvars import Context
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeVar

from miaosha.domain.errors import DependencyDown, Fault, MiaoshaError
from tests.lab.dice import Row
from tests.lab.patience import LONGEST_S, Patience

if TYPE_CHECKING:
    from tests.lab.process import Process

T = TypeVar("T")

MOMENT_S: Final = 0.001  # from a process to whoever asked it
SLOW_S: Final = (0.3, 7.0)  # of a call that is stuck; more where a client has more patience
SLOWER: Final = 1.2  # of that patience
SLOWEST_S: Final = SLOWER * LONGEST_S  # until what is stuck has arrived
TWICE_S: Final = (0.0, 6.0)  # between the arrivals of one call
CUT_S: Final = (0.5, 8.0)  # a process is cut off one server
HEALED_S: Final = 3.0  # after an event the scheduler has looked, and a rebuild has ended
REFUSED_S: Final = 0.5  # until a client takes a server that is away for away
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


WAITED_FOR: Final = (Mishap.GONE, Mishap.SLOW, Mishap.LATE)  # until a client gives up


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
    and server. A server that is away refuses; a process that is cut off hears nothing at all."""

    def __init__(self) -> None:
        self.away: dict[str, float] = {}

    def down_s(self, server: str) -> float:
        """The time of the loop until which nobody reaches it."""
        return self.away.get(server, 0.0)

    def cut_s(self, name: str, server: str) -> float:
        """The time of the loop until which this process is cut off it."""
        return self.away.get(f"{name}/{server}", 0.0)

    def until(self, name: str, server: str) -> float:
        return max(self.down_s(server), self.cut_s(name, server))


class ProcessLink:
    """Implements link.Link for one process.

    Args:
        patience: of the clients it has.
        rows: (moments, faults, durations) of this process.
        noted: hears of every call that was done, and of what befell it.
        stuck: hears of a call that is on its way for long, when it is sent.
    """

    def __init__(
        self,
        process: "Process",
        weather: Weather,
        reach: Reach,
        patience: Patience,
        rows: tuple[Row, Row, Row],
        noted: Callable[["Process", str, Mishap | None], None],
        stuck: Callable[["Process", str], None],
    ) -> None:
        self._process = process
        self._weather = weather
        self._reach = reach
        self._moments, self._faults, self._durations = rows
        self._noted = noted
        self._sent_stuck = stuck
        self._patience = patience
        self._loop = asyncio.get_running_loop()

    async def __call__(
        self, call: str, act: Callable[[], T], *, lost: type[Fault] = DependencyDown
    ) -> T:
        server = SERVER_OF[call.partition(".")[0]]
        process, moments, loop = self._process, self._moments, self._loop
        mishap = self._weather.mishap(self._faults, call)
        if mishap is Mishap.CUT:
            until_s = loop.time() + self._durations.span(*CUT_S)
            self._reach.away[f"{process.name}/{server}"] = until_s
        await self._pause(moments.span(0, self._weather.moment_s))
        if mishap is Mishap.AWAY or self._reach.down_s(server) > loop.time():
            self._noted(process, call, mishap)
            await asyncio.sleep(0.0 if mishap is Mishap.AWAY else REFUSED_S)
            raise DependencyDown(f"{server}: away")
        ends_s = None
        if mishap in WAITED_FOR:
            ends_s = loop.time() + self._patience.of(call, server, self._durations)
        arrives = await self._healed(call, server, ends_s)
        if mishap is Mishap.GONE or not arrives:
            self._noted(process, call, mishap)
            await self._pause((ends_s or loop.time()) - loop.time())
            raise lost(f"{call}: no answer")
        if mishap is Mishap.DIES_BEFORE:
            self._noted(process, call, mishap)
            await process.dies()
        try:
            if mishap is Mishap.SLOW:
                assert ends_s is not None
                answer = await self._stuck(call, act, server, ends_s, lost)
            else:
                self._noted(process, call, mishap)
                answer = act()
                if mishap is Mishap.TWICE:
                    after_s = self._durations.span(*TWICE_S)
                    loop.call_later(after_s, self._again, call, act, server, context=Context())
        finally:
            if mishap is Mishap.DIES_AFTER:
                await process.dies()
            await self._returns(call, server, mishap, ends_s)
        if mishap is Mishap.LOST or self._reach.down_s(server) > loop.time():
            raise lost(f"{call}: the answer was lost")
        returned = await self._healed(call, server, ends_s)
        if not returned or (ends_s is not None and loop.time() >= ends_s):
            raise lost(f"{call}: no answer in time")
        return answer

    async def _returns(
        self, call: str, server: str, mishap: Mishap | None, ends_s: float | None
    ) -> None:
        """The answer is on its way, until its caller gives up."""
        returns_s = self._moments.span(0, self._weather.moment_s)
        if mishap is Mishap.LATE:
            returns_s += self._slow_s(call, server)
        if ends_s is not None:
            returns_s = min(returns_s, ends_s - self._loop.time())
        await self._pause(returns_s)

    async def _healed(self, call: str, server: str, ends_s: float | None) -> bool:
        """Wait until this process is no longer cut off. What was sent meanwhile is sent again by
        TCP, and arrives. False: its client gives up before."""
        cut_s = self._reach.cut_s(self._process.name, server)
        if cut_s <= self._loop.time():
            return True
        if ends_s is None:
            patience_s = self._patience.cut_off(call, server, self._durations)
            ends_s = self._loop.time() + patience_s
        await self._pause(min(cut_s, ends_s) - self._loop.time())
        return cut_s < ends_s

    def _slow_s(self, call: str, server: str) -> float:
        low_s, high_s = SLOW_S
        high_s = max(high_s, SLOWER * self._patience.most_s(call, server))
        return self._durations.span(low_s, high_s)

    def _again(self, call: str, act: Callable[[], T], server: str) -> None:
        """A client that heard nothing sends again. What it sent first may come last."""
        if self._reach.until(self._process.name, server) <= self._loop.time():
            self._noted(self._process, call, Mishap.TWICE)
            with contextlib.suppress(MiaoshaError):
                act()

    async def _pause(self, seconds: float) -> None:
        """As asyncio.sleep, without asking each time which loop runs."""
        over = self._loop.create_future()
        timer = self._loop.call_later(seconds, _set, over)
        try:
            await over
        finally:
            timer.cancel()

    async def _stuck(
        self, call: str, act: Callable[[], T], server: str, ends_s: float, lost: type[Fault]
    ) -> T:
        """The call is on its way for long. It arrives even if its caller has given up, or died,
        unless the server cannot be reached at that time."""
        answer: asyncio.Future[T] = self._loop.create_future()
        timer = self._loop.call_at(ends_s, _give_up, answer, lost(f"{call}: no answer in time"))

        def arrive() -> None:
            self._noted(self._process, call, Mishap.SLOW)
            if self._reach.until(self._process.name, server) > self._loop.time():
                return
            try:
                result = act()
            except Exception as error:
                _give_up(answer, error)
            else:
                if not answer.done():
                    answer.set_result(result)

        self._sent_stuck(self._process, call)
        self._loop.call_later(self._slow_s(call, server), arrive, context=Context())
        try:
            return await answer
        finally:
            timer.cancel()


def _give_up(answer: "asyncio.Future[T]", error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
        answer.exception()  # its caller may be gone


def _set(over: "asyncio.Future[None]") -> None:
    if not over.done():
        over.set_result(None)
