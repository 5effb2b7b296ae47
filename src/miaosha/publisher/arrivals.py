"""Arrivals: how many a publisher handles in one pass of the event loop, and which wait.

In one pass the loop hands over everything that has arrived. In a flood of thousands of connections
that takes a tenth of a second, and a confirm needs several passes until its presses are answered.
So a pass handles SLICE arrivals. The rest wait here in their order, and confirms come in between.
"""

import asyncio
from collections import deque
from typing import Final, Protocol

SLICE: Final = 512  # arrivals handled in one pass: 10 ms


class Arrived(Protocol):
    """A connection, which keeps what it has received and not handled."""

    def go_on(self) -> None:
        """Handle what was kept. Called once for each `enter` that returned False."""


class Arrivals:
    """Lets arrivals in, a slice at a time.

    Args:
        size: arrivals handled in one pass of the loop.
    """

    __slots__ = ("_loop", "_size", "_taken", "_waiting")

    def __init__(self, size: int = SLICE) -> None:
        self._loop = asyncio.get_running_loop()
        self._size = size
        self._taken = 0  # in this pass
        self._waiting: deque[Arrived] = deque()

    def __len__(self) -> int:
        """Connections that wait: one waits once."""
        return len(self._waiting)

    def enter(self, arrived: Arrived) -> bool:
        """True: handle it now. False: `go_on` comes later."""
        if self._taken >= self._size:
            self._waiting.append(arrived)
            return False
        if not self._taken:
            self._loop.call_soon(self._next)
        self._taken += 1
        return True

    def _next(self) -> None:
        """The next pass: first the connections that wait longest, then those that arrive."""
        waiting = self._waiting
        self._taken = taken = min(len(waiting), self._size)
        if taken:  # first: whatever one of them raises, the others have a next pass
            self._loop.call_soon(self._next)
        for _ in range(taken):
            waiting.popleft().go_on()
