"""Ports of time: the sale's clock, and a clock that tells of its steps."""

from typing import Protocol


class Clock(Protocol):
    def now_ms(self) -> int:
        """Unix ms of the store's clock (local clock plus an offset refreshed every second). Never
        goes back within a process, but when a step of the store's clock was believed. No I/O."""

    def monotonic(self) -> float:
        """Seconds of a clock that nobody sets: for durations, timeouts, rates and leases."""


class StepClock(Clock, Protocol):
    def synced(self) -> bool:
        """Whether the store has told its time. Until then this is the machine's own clock."""

    def step_ms(self) -> int:
        """How far the store's clock stands ahead of this one (behind: negative) since it was set,
        while that is not believed; 0 while they agree."""


def surely_ms(clock: StepClock) -> int:
    """Unix ms: the earlier of this clock and the store's, which it may not believe yet. What is
    over by it is over by both: either may have been wrong from the start."""
    return clock.now_ms() + min(0, clock.step_ms())
