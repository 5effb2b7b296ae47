"""Work: nobody spins. Calls of one process in one second of the history are bounded."""

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.lab.process import Process
    from tests.lab.world import World

SAME_MAX: Final = 60  # calls of one kind by one process in one second


class Work:
    def __init__(self, world: "World", find: Callable[..., None]) -> None:
        self._world = world
        self._find = find
        self._second = 0
        self._calls: Counter[tuple[str, str]] = Counter()

    def calls(self, process: "Process", call: str) -> None:
        second = int(self._world.loop.time())
        if second != self._second:
            self._second = second
            self._world.counts["look work"] += len(self._calls)
            self._calls.clear()
        key = (process.name, call)
        self._calls[key] += 1
        if self._calls[key] > SAME_MAX:
            self._find("work", f"{process.name} called {call} {SAME_MAX} times in a second", call)
