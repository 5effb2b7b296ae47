"""Costs: what each test file took, of time and of the processor. tests/suites.py loads it as a
plugin and names the file to write; what a file started counts once it was waited for.
"""

import os
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import pytest

ENVIRON: Final = "TEST_COSTS"  # a name of MIAOSHA_… would be a setting that there is not


class Cost(NamedTuple):
    """Seconds by the clock, and of the processor."""

    wall_s: float
    cpu_s: float

    @classmethod
    def now(cls) -> "Cost":
        return cls(time.monotonic(), sum(os.times()[:4]))

    def since(self, before: "Cost") -> "Cost":
        return Cost(self.wall_s - before.wall_s, self.cpu_s - before.cpu_s)

    def more(self, other: "Cost") -> "Cost":
        return Cost(self.wall_s + other.wall_s, self.cpu_s + other.cpu_s)


_spent: defaultdict[str, Cost] = defaultdict(lambda: Cost(0.0, 0.0))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    before = Cost.now()
    try:
        return (yield)
    finally:
        name = str(item.path.relative_to(item.config.rootpath))
        _spent[name] = _spent[name].more(Cost.now().since(before))


def pytest_sessionfinish() -> None:
    if path := os.environ.get(ENVIRON):
        Path(path).write_bytes(msgspec.json.encode(dict(_spent)))


def read(path: Path) -> dict[str, Cost]:
    """By file; nothing where the run did not come to its end."""
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Cost]) if path.exists() else {}
