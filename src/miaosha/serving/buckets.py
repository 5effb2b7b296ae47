"""Token buckets: how often something may happen, as one number each.

The number is the time at which the bucket is full again (GCRA). Times are in any unit, of a clock
that nobody sets. Buckets are counted per process.
"""

from typing import Final, Generic, TypeVar

KEYS_MAX: Final = 500_000  # keys remembered before the older half is forgotten early
EPSILON: Final = 1e-9  # what floating point may lose

K = TypeVar("K")


def full_at(before: float, now: float, cost: float, depth: float) -> float | None:
    """When a bucket is full again once a token is taken; None: it has none.

    Args:
        before: when it would have been full without that.
        cost: the time in which one token comes.
        depth: the time in which all its tokens come.
    """
    after = (before if before > now else now) + cost
    return after if after - now <= depth + EPSILON else None


class Buckets(Generic[K]):
    """A bucket for each key.

    Keys are kept in two generations, which are swapped once a bucket filled up in between. So
    forgetting costs nothing per key, and forgets no bucket that is not full.

    Args:
        cost: the time in which one token comes.
        burst: tokens in a full bucket.
        keys_max: beyond it buckets are forgotten early.
    """

    __slots__ = ("_cost", "_depth", "_half", "_newer", "_older", "_slack", "_swap_at")

    def __init__(self, cost: float, burst: int, *, keys_max: int = KEYS_MAX) -> None:
        self._cost = cost
        self._depth = burst * cost
        self._slack = self._depth - cost + EPSILON
        self._newer: dict[K, float] = {}
        self._older: dict[K, float] = {}
        self._swap_at = 0.0
        self._half = keys_max // 2

    def __len__(self) -> int:
        return len(self._newer) + len(self._older)

    def take(self, key: K, now: float) -> bool:
        """Take a token; False, and nothing taken, if there is none."""
        newer = self._newer
        if now >= self._swap_at or len(newer) >= self._half:
            self._older, self._newer = newer, {}
            newer = self._newer
            self._swap_at = now + self._depth
        before = newer.get(key) or self._older.get(key, 0.0)
        if before <= now:
            newer[key] = now + self._cost
            return True
        after = full_at(before, now, self._cost, self._depth)
        if after is None:
            return False
        newer[key] = after
        return True

    def is_empty(self, key: K, now: float) -> bool:
        """True if `take` would refuse; takes nothing."""
        before = self._newer.get(key) or self._older.get(key, 0.0)
        return before - now > self._slack

    def wait(self, key: K, now: float) -> float:
        """The time until `take` gives a token; 0: it gives one now."""
        return max(0.0, self._full_at(key) - now - self._slack)

    def give_back(self, key: K) -> None:
        """One token of those that were taken."""
        if before := self._full_at(key):
            self._newer[key] = before - self._cost

    def _full_at(self, key: K) -> float:
        return self._newer.get(key) or self._older.get(key, 0.0)
