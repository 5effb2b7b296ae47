"""One timer wheel for every deadline of every socket: an entry is two words in a list.

Nothing is cancelled: an entry fires, looks at its socket and finds that it has nothing to do. So a
closed socket may linger until its entry fires; deadlines are therefore kept short (seconds).
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, Final

Action = Callable[[Any], None]  # a plain function that takes the socket, such as Session.ping

SLICE: Final = 128  # sockets served before the loop gets its turn


class Wheel:
    """Deadlines by tick of `resolution_s` seconds; `monotonic` is the clock that drives it."""

    def __init__(self, monotonic: Callable[[], float], resolution_s: float) -> None:
        self._monotonic = monotonic
        self._resolution = resolution_s
        self._tick = int(monotonic() / resolution_s)  # the next one to fire
        self._due: dict[int, dict[Action, list[Any]]] = {}

    def schedule(self, action: Action, item: Any, delay_s: float) -> None:
        """Call `action(item)` after `delay_s` seconds, at most a tick (and a turn) later."""
        tick = int((self._monotonic() + delay_s) / self._resolution) + 1
        bucket = self._due.setdefault(max(tick, self._tick), {})
        bucket.setdefault(action, []).append(item)

    def __iter__(self) -> Iterator[Any]:
        """Every item that has a deadline; one with several deadlines comes several times."""
        for bucket in self._due.values():
            for items in bucket.values():
                yield from items

    async def run(self) -> None:
        """Fire what is due until cancelled."""
        while True:
            await asyncio.sleep(self._resolution)
            await self.advance()

    async def advance(self) -> None:
        """Fire everything that is due now, a slice at a time."""
        now = int(self._monotonic() / self._resolution)
        while self._tick <= now:
            while bucket := self._due.get(self._tick):
                action, items = next(iter(bucket.items()))
                for _ in range(min(SLICE, len(items))):
                    action(items.pop())
                if not items:
                    del bucket[action]
                await asyncio.sleep(0)
            self._due.pop(self._tick, None)
            self._tick += 1
