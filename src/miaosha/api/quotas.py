"""Quotas: how much of something one caller may do, per time and at once.

They are counted per process: with k API processes a caller gets up to k times as much. The edge has
a limit per address of its own.
"""

import contextlib
from collections import Counter
from collections.abc import Hashable, Iterator
from typing import Final

from miaosha.domain.errors import Problem
from miaosha.ports.clock import Clock
from miaosha.serving.buckets import Buckets

KEYS_MAX: Final = 100_000  # callers remembered by each quota


class Quota:
    """One limit: `most` within `per_s` seconds on the long run, as many at once."""

    def __init__(self, name: str, most: int, clock: Clock, per_s: int = 60) -> None:
        self._name = name
        self._clock = clock
        self._buckets: Buckets[Hashable] = Buckets(per_s / most, most, keys_max=KEYS_MAX)

    def take(self, key: Hashable) -> None:
        """Raises Problem("rate_limited") with the time after which it is worth asking again."""
        now = self._clock.monotonic()
        if not self._buckets.take(key, now):
            wait_s = int(self._buckets.wait(key, now)) + 1
            raise Problem("rate_limited", f"The limit is {self._name}.", retry_after_s=wait_s)

    @contextlib.contextmanager
    def failures(self, key: Hashable) -> Iterator[None]:
        """Take, and give back unless what is within ends in Problem("bad_credentials")."""
        self.take(key)
        try:
            yield
        except BaseException as error:
            if not (isinstance(error, Problem) and error.code == "bad_credentials"):
                self._buckets.give_back(key)
            raise
        self._buckets.give_back(key)


class AtOnce:
    """One limit: so many of one key under way at once, so that nobody fills a queue alone."""

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._under_way: Counter[Hashable] = Counter()

    def has_room(self, key: Hashable) -> bool:
        return self._under_way[key] < self._most

    @contextlib.contextmanager
    def one(self, key: Hashable) -> Iterator[None]:
        """Raises Problem("rate_limited")."""
        if not self.has_room(key):
            raise Problem("rate_limited", f"The limit is {self._name}.")
        self._under_way[key] += 1
        try:
            yield
        finally:
            self._under_way[key] -= 1
            if not self._under_way[key]:
                del self._under_way[key]
