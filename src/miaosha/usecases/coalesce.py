"""Coalescing: calls with the same key that come at the same time do their work together.

While one round of a key is under way, callers gather, and the next round takes them all. No timer
runs: a call that comes alone is a round at once.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from miaosha.domain.errors import DependencyDown, OutcomeUnknown

Key = TypeVar("Key")
Item = TypeVar("Item")

ROUND_MAX: Final = 64  # items of one round


class Coalescer(Generic[Key, Item]):
    """Args: act: does what a round is for, with the key and 1 to ROUND_MAX items, in order."""

    def __init__(self, act: Callable[[Key, Sequence[Item]], Awaitable[None]]) -> None:
        self._act = act
        self._waiting: defaultdict[Key, deque[_Member[Item]]] = defaultdict(deque)
        self._rounds: dict[Key, asyncio.Task[None]] = {}

    async def add(self, key: Key, item: Item) -> None:
        """Return when a round with `item` has ended. The round acts on the item even if
        its caller is cancelled.

        Raises:
            OutcomeUnknown: the round was cancelled; the item may or may not be done.
            DependencyDown: the round of this item was cancelled before it began.
            Exception: what `act` raised, for every item of the round.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[key].append((item, done))
        rounds = self._rounds.get(key)
        if rounds is None or rounds.done():
            self._rounds[key] = rounds = asyncio.create_task(self._run(key))
            # Not in `_run`: a task that is cancelled before its first step runs nothing of it.
            rounds.add_done_callback(lambda ended: self._end(key, ended))
        await done

    def _end(self, key: Key, ended: "asyncio.Task[None]") -> None:
        """These rounds are over. A caller that still waits came too late for the last one."""
        if self._rounds.get(key) is not ended:
            return  # others have begun, and take all
        del self._rounds[key]
        for _, done in self._waiting.pop(key, ()):
            _fail(done, DependencyDown("cut off before it began"))

    async def _run(self, key: Key) -> None:
        while waiting := self._waiting[key]:
            members = [waiting.popleft() for _ in range(min(ROUND_MAX, len(waiting)))]
            await self._round(key, members)

    async def _round(self, key: Key, members: "Sequence[_Member[Item]]") -> None:
        try:
            await self._act(key, [item for item, _ in members])
        except Exception as error:
            for _, done in members:
                _fail(done, error)
        except BaseException:  # we are cancelled, or the process ends: it ends the rounds, too
            for _, done in members:
                _fail(done, OutcomeUnknown("cut off"))
            raise
        for _, done in members:
            if not done.done():
                done.set_result(None)


def _fail(done: "asyncio.Future[None]", error: Exception) -> None:
    if not done.done():
        done.set_exception(error)


_Member = tuple[Item, asyncio.Future[None]]
