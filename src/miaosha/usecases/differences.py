"""Differences: what an audit found, bounded. Of each invariant it keeps the count, and those with
the lowest keys, so that two looks at one thing keep the same ones.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from miaosha.usecases.invariants import Difference

KEPT_MAX: Final = 2_000  # of one invariant: so many are looked at again


class Differences:
    """Attributes: counts: of each invariant."""

    def __init__(self) -> None:
        self._kept: dict[str, dict[str, Difference]] = {}
        self.counts: Counter[str] = Counter()

    def add(self, differences: Iterable[Difference]) -> None:
        for difference in differences:
            kept = self._kept.setdefault(difference.invariant, {})
            if difference.key not in kept:
                self.counts[difference.invariant] += 1
                kept[difference.key] = difference
                if len(kept) >= 2 * KEPT_MAX:
                    self._kept[difference.invariant] = _lowest(kept)

    @property
    def overflowed(self) -> set[str]:
        """The invariants with more than are kept."""
        return {invariant for invariant, count in self.counts.items() if count > KEPT_MAX}

    def __iter__(self) -> Iterator[Difference]:
        for kept in self._kept.values():
            yield from _lowest(kept).values()

    def __bool__(self) -> bool:
        return bool(self._kept)


def _lowest(kept: dict[str, Difference]) -> dict[str, Difference]:
    return {key: kept[key] for key in sorted(kept)[:KEPT_MAX]}
