"""Shrinking: from the record of a history with a finding to a smaller one with the same finding.

Whole rows of choices go first, then halves, quarters and single ones become 0, the mildest. A
history that is told again by its record takes 0 where the record has ended.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from tests.lab.dice import Record

WITHIN_S: Final = 120.0

Found = Callable[[Record], bool]


def shrunk(record: Mapping[str, Sequence[int]], found: Found, within_s: float = WITHIN_S) -> Record:
    """The smallest record of which `found` still holds, as far as that time allows."""
    ends_s = time.monotonic() + within_s
    best: Record = {name: list(row) for name, row in record.items()}
    for name in sorted(best, key=_hope):
        if time.monotonic() < ends_s:
            best = _without_row(best, name, found)
    for name in sorted(best, key=_hope):
        if not name.endswith(("moments", "entropy")):
            best = _milder(best, name, found, ends_s)
    return {name: _cut(row) for name, row in best.items() if any(row)}


def _hope(name: str) -> tuple[bool, bool, str]:
    """Rows of faults first: each that goes makes a history plainer. Moments say little."""
    return name.endswith("moments"), name in ("plan", "people"), name


def _without_row(record: Record, name: str, found: Found) -> Record:
    tried = {other: row for other, row in record.items() if other != name}
    return tried if any(record[name]) and found(tried) else record


def _milder(record: Record, name: str, found: Found, ends_s: float) -> Record:
    """Zeros in place of as many choices of this row as can be."""
    size = max(1, len(record.get(name, ())) // 2)
    while size and any(record.get(name, ())):
        for start in range(0, len(record[name]), size):
            row = record[name]
            if time.monotonic() >= ends_s:
                return record
            if any(row[start : start + size]):
                milder = [*row[:start], *[0] * len(row[start : start + size]), *row[start + size :]]
                tried = record | {name: milder}
                if found(tried):
                    record = tried
        size //= 2
    return record


def _cut(row: Sequence[int]) -> list[int]:
    """Without the zeros at its end."""
    end = len(row)
    while end and not row[end - 1]:
        end -= 1
    return list(row[:end])
