"""Clocks: one that stands until a test moves it, and one that goes on by itself. They implement
ports/clock.StepClock; where a callable in seconds is wanted, pass their `monotonic`.
"""

import time
from typing import Final

NOW_MS: Final = 1_700_000_000_000
BEGAN_S: Final = 100.0


class HandClock:
    """Stands still until it is moved by hand.

    Args:
        now_ms: Unix ms at which it stands first.
    """

    def __init__(self, now_ms: int = NOW_MS) -> None:
        self._now_ms: float = now_ms
        self._passed_ms = BEGAN_S * 1_000
        self._step_ms = 0
        self._synced = True

    def now_ms(self) -> int:
        return round(self._now_ms)

    def monotonic(self) -> float:
        return self._passed_ms / 1_000

    def synced(self) -> bool:
        return self._synced

    def step_ms(self) -> int:
        return self._step_ms

    def advance(self, ms: float) -> None:
        """Time passes."""
        self._now_ms += ms
        self._passed_ms += ms

    def step(self, ms: int) -> None:
        """Somebody sets the store's clock; 0: sets it right."""
        self._step_ms = ms

    def forget(self) -> None:
        """As in a process whose store has not answered yet."""
        self._synced = False

    def hear(self) -> None:
        """It has answered."""
        self._synced = True

    def believe(self) -> None:
        """What was set is right."""
        self._now_ms += self._step_ms
        self._step_ms = 0


class RunningClock:
    """Goes on as this machine's does; a test moves it further.

    Args:
        now_ms: Unix ms at which it begins; None: the machine's.
    """

    def __init__(self, now_ms: int | None = None) -> None:
        self._base_ms = time.time() * 1_000 if now_ms is None else now_ms
        self._began_s = time.monotonic()
        self._ahead_s = 0.0

    def synced(self) -> bool:
        return True

    def step_ms(self) -> int:
        return 0

    def now_ms(self) -> int:
        return int(self._base_ms + (self.monotonic() - self._began_s) * 1_000)

    def monotonic(self) -> float:
        return time.monotonic() + self._ahead_s

    def advance(self, ms: float) -> None:
        """Time passes."""
        self._ahead_s += ms / 1_000

    def set_on(self, ms: int) -> None:
        """Somebody sets it, and is believed: no time passes."""
        self._base_ms += ms
