"""Entropy: what the product's own code draws by itself, drawn from the seed instead.

Time is that of the machine on which the process runs: set wrong by seconds, and fast or slow.

`SOURCES` names every module that does, and what of it. A test looks for others.
"""

import importlib
import time as wall
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Final
from uuid import UUID

from tests.lab.dice import Dice
from tests.lab.loop import LIFE, VirtualLoop

UNIX_MS: Final = 1_790_000_000_000  # of the machine's clock when the loop's says 0
SOURCES: Final = (  # (module of miaosha, name in it)
    ("usecases.rebuild", "uuid_utils"),
    ("publisher.batcher", "uuid_utils"),
    ("adapters.sql.attempts", "uuid4"),
    ("adapters.sql.attempts", "secrets"),
    ("adapters.sql.grants", "uuid4"),
    ("adapters.sql.captures", "uuid4"),
    ("adapters.sql.releases", "uuid4"),
    ("adapters.clock", "time"),
)


@contextmanager
def drawn_from(dice: Dice, loop: VirtualLoop) -> Iterator[None]:
    """Within, `SOURCES` draw from these dice and tell this loop's time."""
    counted = dice.row("entropy")
    numbers = iter(range(1, 1 << 40))

    def monotonic() -> float:
        life = LIFE.get()
        return loop.time() if life is None else loop.time() * (1 + life.drift)

    def wall_s() -> float:
        life = LIFE.get()
        return UNIX_MS / 1000 + monotonic() + (0.0 if life is None else life.skew_s)

    def uuid7() -> UUID:
        at_ms = int(wall_s() * 1000)
        return UUID(int=(at_ms << 80) | (7 << 76) | (2 << 62) | next(numbers))

    def uuid4() -> UUID:
        return UUID(int=(4 << 76) | (2 << 62) | next(numbers))

    stands_in: dict[str, Any] = {
        "uuid_utils": SimpleNamespace(uuid7=uuid7),
        "uuid4": uuid4,
        "secrets": SimpleNamespace(choice=counted.among),
        "time": SimpleNamespace(time=wall_s, monotonic=monotonic, sleep=wall.sleep),
    }
    before = []
    for path, name in SOURCES:
        module = importlib.import_module(f"miaosha.{path}")
        before.append((module, name, getattr(module, name)))
        setattr(module, name, stands_in[name])
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)
