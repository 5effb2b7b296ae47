"""Dice: every choice of a history, by name and number, so that it can be told again and shrunk.

A name has its own row of choices: what one process meets does not change what another one rolls.
Every choice is a whole number, and 0 is always the mildest: no fault, no delay, the first one.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

T = TypeVar("T")
FINE: Final = 1_000  # steps of a span

Record = dict[str, list[int]]


class Row:
    """The choices of one name, in order. With `told` they are not rolled but those, then 0."""

    __slots__ = ("_random", "_told", "taken")

    def __init__(self, seed: str, told: Sequence[int] | None) -> None:
        self._random = random.Random(seed).random
        self._told = told
        self.taken: list[int] = []

    def below(self, number: int) -> int:
        """One of 0 … number - 1."""
        taken, told = self.taken, self._told
        if told is None:
            value = int(self._random() * number)
        else:
            at = len(taken)
            value = min(told[at], number - 1) if at < len(told) else 0
        taken.append(value)
        return value

    def chance(self, probability: float) -> bool:
        return self.one_of(probability, 1) > 0

    def one_of(self, probability: float, kinds: int) -> int:
        """0, or with `probability` one of 1 … kinds, each as likely as the others."""
        taken, told = self.taken, self._told
        if told is None:
            rolled = self._random()
            value = 1 + int(rolled / probability * kinds) if rolled < probability else 0
            value = min(value, kinds)
        else:
            at = len(taken)
            value = min(told[at], kinds) if at < len(told) else 0
        taken.append(value)
        return value

    def among(self, things: Sequence[T]) -> T:
        return things[self.below(len(things))]

    def span(self, low: float, high: float) -> float:
        """A number from `low` to below `high`, in FINE steps."""
        return low + (high - low) * self.below(FINE) / FINE


class Dice:
    """Args: told: the record of an earlier history, to be told again."""

    def __init__(self, seed: int, told: Mapping[str, Sequence[int]] | None = None) -> None:
        self._seed = seed
        self._told = told
        self._rows: dict[str, Row] = {}

    def row(self, name: str) -> Row:
        row = self._rows.get(name)
        if row is None:
            told = None if self._told is None else self._told.get(name, ())
            row = self._rows[name] = Row(f"{self._seed}/{name}", told)
        return row

    @property
    def record(self) -> Record:
        """All choices so far."""
        return {name: row.taken for name, row in self._rows.items() if row.taken}
