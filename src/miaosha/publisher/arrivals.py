"""Who is read when more connections have something to say than one turn of the loop may take.

The loop hands over everything that arrived before it looks at anything else: in a flood of
thousands of connections that is a tenth of a second, and a batch needs several such turns until
its confirm is heard and its presses are answered. So a turn handles `SLICE` arrivals; the rest wait
here, in their order, and the broker's answers come in between.
"""

import asyncio
from collections import deque
from typing import Final, Protocol

SLICE: Final = 512  # arrivals handled between two looks at everything else: 10 ms


class Arrived(Protocol):
    """A connection that keeps what it has not handled yet."""

    def go_on(self) -> None:
        """Handle what was kept. Called once for each refused `enter`."""


class Arrivals:
    """Lets arrivals in, a slice at a time.

    Args:
        size: arrivals handled in one turn of the loop.
    """

    __slots__ = ("_loop", "_size", "_taken", "_waiting")

    def __init__(self, size: int = SLICE) -> None:
        self._loop = asyncio.get_running_loop()
        self._size = size
        self._taken = 0  # in this turn
        self._waiting: deque[Arrived] = deque()

    def __len__(self) -> int:
        """How many wait to be handled: at most one per connection."""
        return len(self._waiting)

    def enter(self, reading: Arrived) -> bool:
        """True: handle it now. False: `go_on` comes later."""
        if self._taken >= self._size:
            self._waiting.append(reading)
            return False
        if not self._taken:
            self._loop.call_soon(self._next)
        self._taken += 1
        return True

    def _next(self) -> None:
        """The next turn: those who wait longest first, then whoever arrives."""
        waiting = self._waiting
        self._taken = taken = min(len(waiting), self._size)
        if taken:  # first: whatever one of them raises, there is a next turn for the others
            self._loop.call_soon(self._next)
        for _ in range(taken):
            waiting.popleft().go_on()
