"""Calls that wait go together: items of one `Bulk` gather while a flight of it is under way.

No timer while all is well: an item alone flies at once, and flights grow with the load. Knows
nothing of SQL; what a flight does is given.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any, Generic, TypeVar

from miaosha.adapters.sql.database import Bulk
from miaosha.domain.errors import DependencyDown, OutcomeUnknown, Overloaded

Item = TypeVar("Item")
T = TypeVar("T")

FLIGHT_MAX = 64  # items of one flight
FLIGHTS_MAX = 4  # of one bulk at once
LATE_S = 0.1  # an item that has waited this long does not wait for the flight that hangs


class Flights(Generic[Item, T]):
    """The flights of one bulk in one process.

    Args:
        together: does all items of a flight, or raises.
        alone: does one item, after its flight came to nothing.
        timeout_s: seconds a caller waits. How many may wait at once is the caller's to limit.
    """

    def __init__(
        self,
        bulk: Bulk[Item, T],
        together: Callable[[Sequence[Item]], Awaitable[Sequence[T]]],
        alone: Callable[[Item], Awaitable[T]],
        timeout_s: float,
    ) -> None:
        self._bulk = bulk
        self._together = together
        self._alone = alone
        self._timeout_s = timeout_s
        self._waiting: deque[_Seat[Item, T]] = deque()
        self._flights = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._late: asyncio.TimerHandle | None = None

    async def fly(self, item: Item) -> T:
        """What the flight of `item` answers.

        A caller who is cancelled or gives up before its flight began takes the item along; of one
        that flies already it is done all the same, and nobody hears the answer.

        Raises:
            DependencyDown (withdrawn), OutcomeUnknown (no answer in time, or its flight was cut
            off), and what `together` or `alone` raised.
        """
        seat = _Seat[Item, T](item)
        self._waiting.append(seat)
        self._start()
        try:
            # not wait_for: that of Python 3.11 may swallow a cancellation
            async with asyncio.timeout(self._timeout_s):
                return await seat.answer
        except TimeoutError:
            if seat.flown:
                raise OutcomeUnknown("database: no answer in time") from None
            raise DependencyDown("database: busy, the call was withdrawn") from None

    async def land(self) -> None:
        """Finish what was taken."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        if self._late:
            self._late.cancel()

    def _start(self, *, late: bool = False) -> None:
        if not self._waiting:
            return
        if self._flights == 0 or (late and self._flights < FLIGHTS_MAX):
            self._flights += 1
            # Not in `_lane`: a task that is cancelled before its first step runs nothing of it.
            self._spawn(self._lane()).add_done_callback(self._lane_ended)
        elif self._late is None and self._flights < FLIGHTS_MAX:
            self._late = asyncio.get_running_loop().call_later(LATE_S, self._overdue)

    def _overdue(self) -> None:
        """LATE_S have passed since somebody had to wait."""
        self._late = None
        now = asyncio.get_running_loop().time()
        self._start(late=bool(self._waiting) and now - self._waiting[0].since >= LATE_S)

    def _spawn(self, work: Any) -> "asyncio.Task[None]":
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _lane_ended(self, _: "asyncio.Task[None]") -> None:
        self._flights -= 1
        self._start()  # for whoever came since it looked, or was left when it was cut off

    async def _lane(self) -> None:
        while seats := self._board():
            await self._flight(seats)

    def _board(self) -> "list[_Seat[Item, T]]":
        """Those who wait and still want to; of the same key only the first."""
        boarded: dict[Hashable, _Seat[Item, T]] = {}
        left: deque[_Seat[Item, T]] = deque()
        while self._waiting and len(boarded) < FLIGHT_MAX:
            seat = self._waiting.popleft()
            if seat.answer.done():
                continue
            key = self._bulk.key(seat.item)
            if key in boarded:
                left.append(seat)
            else:
                boarded[key] = seat
                seat.flown = True
        self._waiting.extendleft(reversed(left))
        return list(boarded.values())

    async def _flight(self, seats: "list[_Seat[Item, T]]") -> None:
        try:
            values = await self._together([seat.item for seat in seats])
        except (OutcomeUnknown, Overloaded) as error:
            for seat in seats:
                seat.fail(error)
        except Exception as error:
            if len(seats) == 1 and not isinstance(error, DependencyDown):
                seats[0].fail(error)
                return
            for seat in seats:  # one of them spoilt it, or a deadlock: it was all undone
                self._spawn(self._solo(seat)).add_done_callback(seat.landed)
        except BaseException:
            for seat in seats:
                seat.fail(OutcomeUnknown("database: the flight was cut off"))
            raise
        else:
            for seat, value in zip(seats, values, strict=True):
                seat.tell(value)

    async def _solo(self, seat: "_Seat[Item, T]") -> None:
        if seat.answer.done():
            return  # nobody waits for it any more, and nothing was done
        try:
            seat.tell(await self._alone(seat.item))
        except Exception as error:
            seat.fail(error)


class _Seat(Generic[Item, T]):
    """An item, and what its caller waits for."""

    def __init__(self, item: Item) -> None:
        loop = asyncio.get_running_loop()
        self.item = item
        self.since = loop.time()
        self.flown = False
        self.answer: asyncio.Future[T] = loop.create_future()

    def tell(self, value: T) -> None:
        if not self.answer.done():
            self.answer.set_result(value)

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)

    def landed(self, _: "asyncio.Task[None]") -> None:
        """Nobody flies this item any more."""
        self.fail(OutcomeUnknown("database: the flight was cut off"))
