"""Limits of a publisher: how long a connection may take. One timer serves all connections."""

from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar


class Watched(Protocol):
    """What a Wheel looks at."""

    def look(self, now: int) -> None: ...


W = TypeVar("W", bound=Watched)


class Wheel(Generic[W]):
    """Looks at every member once a turn, a slot per tick: one timer for all connections.

    `now` counts ticks. Members compare ticks with it instead of asking a clock, so that a timeout
    is late by a turn at most.
    """

    __slots__ = ("_next", "_slots", "now")

    def __init__(self, slots: int) -> None:
        self._slots: list[set[W]] = [set() for _ in range(slots)]
        self._next = 0
        self.now = 1  # a tick of 0 can mean: never

    def add(self, member: W) -> int:
        """Returns the slot, for `remove`."""
        self._next = (self._next + 1) % len(self._slots)
        self._slots[self._next].add(member)
        return self._next

    def remove(self, member: W, slot: int) -> None:
        self._slots[slot].discard(member)

    def tick(self) -> None:
        """Turn by one slot and look at its members."""
        self.now += 1
        for member in list(self._slots[self.now % len(self._slots)]):
            member.look(self.now)

    def members(self) -> Iterable[W]:
        return [member for slot in self._slots for member in slot]
