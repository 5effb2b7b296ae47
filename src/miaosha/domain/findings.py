"""Findings: what `miaosha doctor` finds about a platform, and what roles refuse to start on."""

from enum import StrEnum
from typing import NamedTuple


class Fitness(StrEnum):
    OK = "ok"
    WARNING = "warning"  # works, though something is lost or slow when things go wrong
    REFUSED = "refused"  # a promise to buyers would not be kept


class Examined(NamedTuple):
    """One thing that was looked at.

    Attributes:
        part: database, replica, store, broker, machine or platform.
        what: the setting or property, by the name its own documentation has for it.
        found: its value.
        advice: what to change; empty: nothing.
    """

    part: str
    what: str
    found: str
    verdict: Fitness = Fitness.OK
    advice: str = ""


def judged(part: str, what: str, found: object, good: bool, bad: Fitness, advice: str) -> Examined:
    """`bad` with the advice, unless it is good."""
    return Examined(part, what, str(found), Fitness.OK if good else bad, "" if good else advice)


CLOCK_OFFSET_MAX_MS = 500


def clock_finding(part: str, offset_ms: int) -> Examined:
    """A server's clock against this machine's."""
    return judged(
        part,
        "clock",
        f"{offset_ms:+d} ms",
        abs(offset_ms) <= CLOCK_OFFSET_MAX_MS,
        Fitness.WARNING,
        "run an NTP client on both machines",
    )
