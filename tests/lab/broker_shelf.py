"""Broker shelf: what both kinds of the laboratory's broker keep: parked messages, and who waits.

A server has no task. It changes when it is called, and wakes those who wait for news.
"""

import asyncio
from typing import Final, NamedTuple

from miaosha.domain.errors import DependencyDown
from miaosha.ports.broker import Parked

RAW_MAX: Final = 16_384  # bytes kept of a parked message, as the adapters keep
PARKED_MAX: Final = 10_000  # messages kept; the oldest goes
EPOCH_MS: Final = 1_790_000_000_000  # Unix ms at loop time 0


class QueueMissing(DependencyDown):
    """There is no such queue or log."""


def now_s() -> float:
    return asyncio.get_running_loop().time()


class News:
    """Wakes those who wait for something in a queue, in the order in which they came."""

    def __init__(self) -> None:
        self._events: dict[str, asyncio.Event] = {}

    def of(self, queue: str) -> asyncio.Event:
        """Is set at the next news; take it before the look that may find nothing."""
        return self._events.setdefault(queue, asyncio.Event())

    def ring(self, queue: str) -> None:
        event = self._events.pop(queue, None)
        if event is not None:
            event.set()

    def ring_all(self) -> None:
        for queue in list(self._events):
            self.ring(queue)


async def heard(news: asyncio.Event, within_s: float) -> None:
    """Returns at the news, or after `within_s`."""
    try:
        async with asyncio.timeout(within_s):
            await news.wait()
    except TimeoutError:
        pass


class Shelved(NamedTuple):
    parked: Parked
    size: int  # of the message; more than the bytes kept if it was cut


class ParkingShelf:
    """Args: numbered: ids are a time and a number, as Redis makes them; else a number alone."""

    def __init__(self, *, numbered: bool) -> None:
        self._numbered = numbered
        self._count = 0
        self._shelved: list[Shelved] = []

    def add(self, queue: str, reason: str, raw: bytes) -> None:
        self._count += 1
        at_ms = EPOCH_MS + int(now_s() * 1000)
        id_ = f"{at_ms}-{self._count}" if self._numbered else f"{self._count:032x}"
        parked = Parked(id_, queue, reason, at_ms, raw[:RAW_MAX])
        self._shelved = [*self._shelved[-PARKED_MAX + 1 :], Shelved(parked, len(raw))]

    def newest(self, limit: int) -> list[Parked]:
        return [one.parked for one in self._shelved[: -max(1, limit) - 1 : -1]]

    def find(self, parked_id: str) -> Shelved | None:
        return next((one for one in self._shelved if one.parked.id == parked_id), None)

    def remove(self, parked_id: str) -> None:
        self._shelved = [one for one in self._shelved if one.parked.id != parked_id]

    def __len__(self) -> int:
        return len(self._shelved)
