"""A clock of the tests moves when a test says so: by time that passes, or by somebody's hand."""

from tests.kit.clocks import BEGAN_S, NOW_MS, HandClock, RunningClock


def test_a_clock_that_stands() -> None:
    clock = HandClock()
    clock.advance(1_500)
    assert (clock.now_ms() - NOW_MS, clock.monotonic() - BEGAN_S) == (1_500, 1.5)
    clock.step(-60_000)
    assert (clock.now_ms() - NOW_MS, clock.step_ms()) == (1_500, -60_000)
    clock.believe()
    assert (clock.now_ms() - NOW_MS, clock.step_ms()) == (-58_500, 0)
    assert clock.monotonic() == BEGAN_S + 1.5, "nobody sets a steady clock"


def test_a_clock_that_goes_on() -> None:
    clock = RunningClock(NOW_MS)
    assert NOW_MS <= clock.now_ms() < NOW_MS + 60_000
    before = clock.monotonic()
    clock.advance(100_000)
    assert clock.now_ms() >= NOW_MS + 100_000 and clock.monotonic() >= before + 100
    before = clock.monotonic()
    clock.set_on(3_600_000)
    assert clock.now_ms() >= NOW_MS + 3_700_000 and clock.monotonic() < before + 3_600
