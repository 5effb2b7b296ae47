"""Limits of a publisher: how often one user may press, and how long a connection may take.

Both are counted per process. Neither uses a timer of its own.
"""

from collections.abc import Iterable
from typing import Final, Generic, Protocol, TypeVar

USERS_MAX: Final = 500_000  # users a rate remembers before it forgets the older half early


class Rate:
    """A token bucket per user as one number each (GCRA: the time at which the bucket is full).

    Users are kept in two generations that are swapped once a bucket filled up in between, so that
    forgetting costs nothing per user.

    Args:
        per_s: tokens per second.
        burst: tokens in a full bucket.
    """

    __slots__ = ("_interval_ms", "_older", "_slack_ms", "_swap_at_ms", "_users", "_users_max")

    def __init__(self, per_s: int, burst: int, *, users_max: int = USERS_MAX) -> None:
        self._interval_ms = 1000 / per_s
        self._slack_ms = (burst - 1) * self._interval_ms
        self._users: dict[int, float] = {}
        self._older: dict[int, float] = {}
        self._swap_at_ms = 0.0
        self._users_max = users_max // 2

    def allow(self, user_id: int, at_ms: float) -> bool:
        """Take a token; False, and nothing taken, if there is none.

        Args:
            at_ms: now, in milliseconds of a clock that nobody sets.
        """
        if at_ms >= self._swap_at_ms or len(self._users) >= self._users_max:
            self._swap(at_ms)
        users = self._users
        full_at = users.get(user_id) or self._older.get(user_id, 0.0)
        if full_at <= at_ms:
            users[user_id] = at_ms + self._interval_ms
            return True
        if full_at - at_ms > self._slack_ms:
            return False
        users[user_id] = full_at + self._interval_ms
        return True

    def spent(self, user_id: int, at_ms: float) -> bool:
        """True if `allow` would refuse; takes nothing."""
        full_at = self._users.get(user_id) or self._older.get(user_id, 0.0)
        return full_at - at_ms > self._slack_ms

    def _swap(self, at_ms: float) -> None:
        self._older, self._users = self._users, {}
        self._swap_at_ms = at_ms + self._slack_ms + self._interval_ms


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
