"""Calls that come at the same time do their work together: while one round of a key is under way
callers gather, and the next round takes them all. No timer: a call alone is a round at once.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

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
        """Returns when a round with `item` has ended; raises what that round raised, which is for
        all of it. Of a caller who leaves the item is acted on all the same."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[key].append((item, done))
        if key not in self._rounds:
            self._rounds[key] = asyncio.create_task(self._run(key))
        await done

    async def _run(self, key: Key) -> None:
        try:
            while waiting := self._waiting[key]:
                seats = [waiting.popleft() for _ in range(min(ROUND_MAX, len(waiting)))]
                await self._round(key, seats)
        finally:
            del self._rounds[key], self._waiting[key]

    async def _round(self, key: Key, seats: "Sequence[_Seat[Item]]") -> None:
        failure: BaseException | None = None
        try:
            await self._act(key, [item for item, _ in seats])
        except BaseException as error:  # also the end of the process: nobody is left waiting
            failure = error
        for _, done in seats:
            if done.done():
                continue
            if failure is None:
                done.set_result(None)
            else:
                done.set_exception(failure)
        if isinstance(failure, asyncio.CancelledError):
            raise failure


_Seat = tuple[Item, asyncio.Future[None]]
