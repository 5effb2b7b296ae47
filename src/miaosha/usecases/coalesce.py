"""Calls that come at the same time do their work together: while one round of a key is under way
callers gather, and the next round takes them all. No timer: a call alone is a round at once.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from miaosha.domain.errors import DependencyDown, OutcomeUnknown

Key = TypeVar("Key")
Item = TypeVar("Item")

ROUND_MAX: Final = 64  # items of one round


class Together(Generic[Key, Item]):
    """Args: act: does what a round is for, with the key and 1 to ROUND_MAX items, in order."""

    def __init__(self, act: Callable[[Key, Sequence[Item]], Awaitable[None]]) -> None:
        self._act = act
        self._waiting: defaultdict[Key, deque[_Seat[Item]]] = defaultdict(deque)
        self._rounds: dict[Key, asyncio.Task[None]] = {}

    async def add(self, key: Key, item: Item) -> None:
        """Return when a round with `item` has ended. The round acts on the item of a caller who
        leaves, too.

        Raises:
            OutcomeUnknown: the round was cut off; the item may or may not be done.
            DependencyDown: the rounds were cut off before the one of this item.
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
        """These rounds are over. Whoever still waits for them came too late for the last one."""
        if self._rounds.get(key) is not ended:
            return  # others have begun, and take all
        del self._rounds[key]
        for _, done in self._waiting.pop(key, ()):
            _fail(done, DependencyDown("cut off before it began"))

    async def _run(self, key: Key) -> None:
        while waiting := self._waiting[key]:
            seats = [waiting.popleft() for _ in range(min(ROUND_MAX, len(waiting)))]
            await self._round(key, seats)

    async def _round(self, key: Key, seats: "Sequence[_Seat[Item]]") -> None:
        try:
            await self._act(key, [item for item, _ in seats])
        except Exception as error:
            for _, done in seats:
                _fail(done, error)
        except BaseException:  # we are cancelled, or the process ends: it ends the rounds, too
            for _, done in seats:
                _fail(done, OutcomeUnknown("cut off"))
            raise
        for _, done in seats:
            if not done.done():
                done.set_result(None)


def _fail(done: "asyncio.Future[None]", error: Exception) -> None:
    if not done.done():
        done.set_exception(error)


_Seat = tuple[Item, asyncio.Future[None]]
