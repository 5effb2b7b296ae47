"""Wheel: one timer for the deadlines of all connections of a process. An entry is two words.

Nothing is cancelled. An entry fires, looks at its connection, and may find nothing to do. So a
closed connection lingers until its entry fires: deadlines are kept short (seconds).

Heartbeats come first. A client that hears no ping in time goes away. So a busy process sends its
pings before it goes on with a broadcast (`give_way`). A process that was away itself cannot tell
which client was silent meanwhile (`excused_s`).
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, Final

Action = Callable[[Any], None]  # a plain function that takes the socket, such as Session.ping

SLICE: Final = 256  # entries fired before the loop gets its turn, however many ticks they are of
AWAY_S: Final = 0.5  # the loop let the wheel wait so much too long: it was away
EXCUSE_MAX_S: Final = 20.0  # after an absence
LATE_S: Final = 0.5  # deadlines are behind by so much: others wait
WAIT_TURNS: Final = 32  # turns of the loop that others wait at most


class Wheel:
    """Deadlines by tick of `resolution_s` seconds; `monotonic` is the clock that drives it.

    Attributes:
        tick: the next one to fire. Whoever is content with whole ticks needs no other clock.
    """

    def __init__(self, monotonic: Callable[[], float], resolution_s: float) -> None:
        self._monotonic = monotonic
        self._resolution = resolution_s
        self.tick = int(monotonic() / resolution_s)  # the next one to fire
        self._due: dict[int, dict[Action, list[Any]]] = {}
        self._turned_at = monotonic()
        self._excused_until = 0.0

    def schedule(self, action: Action, item: Any, delay_s: float) -> None:
        """Call `action(item)` after `delay_s` seconds, at most a tick (and a turn) later."""
        tick = int((self._monotonic() + delay_s) / self._resolution) + 1
        bucket = self._due.setdefault(max(tick, self.tick), {})
        bucket.setdefault(action, []).append(item)

    def __iter__(self) -> Iterator[Any]:
        """Every item that has a deadline; one with several deadlines comes several times."""
        for bucket in self._due.values():
            for items in bucket.values():
                yield from items

    @property
    def late_s(self) -> float:
        """By how much the entry that fires now, or the next one, is late; 0 if it is not."""
        return max(0.0, self._monotonic() - self.tick * self._resolution)

    def excused_s(self) -> float:
        """For how long no client may be called silent; 0: this process was not away. One that was
        could not hear any: it gives them as long as it was away."""
        return max(0.0, self._excused_until - self._monotonic())

    async def give_way(self) -> None:
        """Between two pieces of a long work: a turn of the loop, and more while deadlines wait."""
        await asyncio.sleep(0)
        for _ in range(WAIT_TURNS):
            if self.late_s <= LATE_S:
                return
            await asyncio.sleep(0)

    async def run(self) -> None:
        """Fire what is due until cancelled."""
        while True:
            await asyncio.sleep(self._resolution)
            await self.advance()

    async def advance(self) -> None:
        """Fire everything that is due now, a slice at a time."""
        now = int(self._turn() / self._resolution)
        left = SLICE
        while self.tick <= now:
            while bucket := self._due.get(self.tick):
                action, items = next(iter(bucket.items()))
                number = min(left, len(items))
                for _ in range(number):
                    action(items.pop())
                if not items:
                    del bucket[action]
                left -= number
                if not left:
                    left = SLICE
                    await asyncio.sleep(0)
                    self._turn()
            self._due.pop(self.tick, None)
            self.tick += 1

    def _turn(self) -> float:
        """The loop is here; the time. Notes for how long it was away."""
        now = self._monotonic()
        away_s = now - self._turned_at - self._resolution
        self._turned_at = now
        if away_s > AWAY_S:
            self._excused_until = max(self._excused_until, now + min(away_s, EXCUSE_MAX_S))
        return now
