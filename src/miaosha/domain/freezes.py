"""Freezes: how the reason of one says what ends it. Any other reason ends with the next rebuild."""

from typing import Final

MANUAL: Final = "manual: "  # only an admin's rebuild ends it
CLOCK: Final = "clock: "  # ends by itself, once the clock is believed
_MANUAL_BEFORE: Final = "hold: "  # what MANUAL was at first; it may be stored still


def waits_for_person(reason: str) -> bool:
    return reason.startswith((MANUAL, _MANUAL_BEFORE))


def waits_for_clock(reason: str) -> bool:
    return reason.startswith(CLOCK)
