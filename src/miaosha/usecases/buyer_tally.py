"""Buyer tally: which numbers came, and which came more than once, at eight bytes each."""

from array import array
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import Final, NamedTuple

SHARDS: Final = 512  # so that no step of counting takes long: a million come to 2,000 a shard


class Shard(NamedTuple):
    distinct: int
    repeated: dict[int, int]  # number: how often it came, of those that came more than once


class BuyerTally:
    """Noting a number is quick at any size; whoever counts goes shard by shard, and lets others
    work between two of them."""

    def __init__(self) -> None:
        self._shards = [array("q") for _ in range(SHARDS)]

    def add(self, number: int) -> None:
        self._shards[number % SHARDS].append(number)

    def __iter__(self) -> Iterator[int]:
        return chain.from_iterable(self._shards)

    def shards(self) -> Iterator[Shard]:
        for numbers in self._shards:
            distinct = set(numbers)
            repeated: dict[int, int] = {}
            if len(distinct) < len(numbers):
                repeated = {number: n for number, n in Counter(numbers).items() if n > 1}
            yield Shard(len(distinct), repeated)
