"""Port of heartbeats: what each role says of itself every second."""

from collections import Counter
from collections.abc import Iterable
from typing import Protocol

import msgspec


class Heartbeat(msgspec.Struct, frozen=True):
    """What a role says of itself every second: its counters, plain numbers by metric name, and how
    many sockets of a gateway watch each sale."""

    role: str
    instance: str
    pid: int
    beat_ms: int
    counters: dict[str, float]
    watching: dict[int, int] = {}


class Heartbeats(Protocol):
    async def beat(self, heartbeat: Heartbeat) -> None:
        """Write or refresh; it counts for five seconds."""

    async def alive(self) -> list[Heartbeat]:
        """Those not older than five seconds, by role and instance."""


def watchers(beats: Iterable[Heartbeat]) -> Counter[int]:
    """Sockets by the id of the sale they watch, of all `beats` together; 0 for any other sale."""
    total: Counter[int] = Counter()
    for beat in beats:
        total.update(beat.watching)
    return total
