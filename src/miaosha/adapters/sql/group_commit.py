"""Group commit: items of one `Bulk` that come at the same time share a transaction, a round.

While a round is under way, items gather for the next one. No timer runs while all is well: an item
that comes alone is a round at once, and rounds grow with the load. The module knows nothing of SQL.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any, Generic, TypeVar

from miaosha.adapters.sql.database import Bulk
from miaosha.domain.errors import DependencyDown, OutcomeUnknown, Overloaded

Item = TypeVar("Item")
T = TypeVar("T")

ROUND_MAX = 64  # items of one round
ROUNDS_MAX = 4  # of one bulk at once
LATE_S = 0.1  # an item that has waited this long does not wait for a round that hangs


class GroupCommit(Generic[Item, T]):
    """The rounds of one bulk in one process.

    Args:
        together: does all items of a round, or raises.
        alone: does one item, after its round was undone.
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
        self._waiting: deque[_Member[Item, T]] = deque()
        self._running = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._late: asyncio.TimerHandle | None = None

    async def submit(self, item: Item) -> T:
        """Do `item` in a round, and return its value.

        A caller that is cancelled, or gives up, before the round began takes its item back. Once
        the round has begun the item is done all the same, and its value is lost.

        Raises:
            DependencyDown: the item was taken back.
            OutcomeUnknown: no answer in time, or the round was cut off.
            Exception: what `together` or `alone` raised.
        """
        member = _Member[Item, T](item)
        self._waiting.append(member)
        self._start()
        try:
            # not wait_for: that of Python 3.11 may swallow a cancellation
            async with asyncio.timeout(self._timeout_s):
                return await member.answer
        except TimeoutError:
            if member.begun:
                raise OutcomeUnknown("database: no answer in time") from None
            raise DependencyDown("database: busy, the call was withdrawn") from None

    async def flush(self) -> None:
        """Return when every item that was taken is done."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        if self._late:
            self._late.cancel()

    def _start(self, *, late: bool = False) -> None:
        if not self._waiting:
            return
        if self._running == 0 or (late and self._running < ROUNDS_MAX):
            self._running += 1
            # Not in `_run_rounds`: a task cancelled before its first step runs nothing of it.
            self._spawn(self._run_rounds()).add_done_callback(self._rounds_ended)
        elif self._late is None and self._running < ROUNDS_MAX:
            self._late = asyncio.get_running_loop().call_later(LATE_S, self._overdue)

    def _overdue(self) -> None:
        """LATE_S have passed since an item had to wait."""
        self._late = None
        now = asyncio.get_running_loop().time()
        self._start(late=bool(self._waiting) and now - self._waiting[0].since >= LATE_S)

    def _spawn(self, work: Any) -> "asyncio.Task[None]":
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _rounds_ended(self, _: "asyncio.Task[None]") -> None:
        self._running -= 1
        self._start()  # for items that came since the last look, or were left by a cut

    async def _run_rounds(self) -> None:
        while members := self._members():
            await self._round(members)

    def _members(self) -> "list[_Member[Item, T]]":
        """The next round: items whose callers still wait, of one key only the first."""
        chosen: dict[Hashable, _Member[Item, T]] = {}
        left: deque[_Member[Item, T]] = deque()
        while self._waiting and len(chosen) < ROUND_MAX:
            member = self._waiting.popleft()
            if member.answer.done():
                continue
            key = self._bulk.key(member.item)
            if key in chosen:
                left.append(member)
            else:
                chosen[key] = member
                member.begun = True
        self._waiting.extendleft(reversed(left))
        return list(chosen.values())

    async def _round(self, members: "list[_Member[Item, T]]") -> None:
        try:
            values = await self._together([member.item for member in members])
        except (OutcomeUnknown, Overloaded) as error:
            for member in members:
                member.fail(error)
        except Exception as error:
            if len(members) == 1 and not isinstance(error, DependencyDown):
                members[0].fail(error)
                return
            for member in members:  # one item spoilt it, or a deadlock: all was undone
                self._spawn(self._one(member)).add_done_callback(member.over)
        except BaseException:
            for member in members:
                member.fail(OutcomeUnknown("database: the round was cut off"))
            raise
        else:
            for member, value in zip(members, values, strict=True):
                member.tell(value)

    async def _one(self, member: "_Member[Item, T]") -> None:
        if member.answer.done():
            return  # its caller left, and nothing was done
        try:
            member.tell(await self._alone(member.item))
        except Exception as error:
            member.fail(error)


class _Member(Generic[Item, T]):
    """An item, and what its caller waits for."""

    def __init__(self, item: Item) -> None:
        loop = asyncio.get_running_loop()
        self.item = item
        self.since = loop.time()
        self.begun = False
        self.answer: asyncio.Future[T] = loop.create_future()

    def tell(self, value: T) -> None:
        if not self.answer.done():
            self.answer.set_result(value)

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)

    def over(self, _: "asyncio.Task[None]") -> None:
        """No round does this item any more."""
        self.fail(OutcomeUnknown("database: the round was cut off"))
