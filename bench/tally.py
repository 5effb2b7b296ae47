"""Tally: what a load came to: every answer with its time, everything wrong, percentiles."""

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from miaosha.trials.percentiles import percentile

PERCENTILES: Final = (50.0, 99.0, 99.9)


class Tally(msgspec.Struct):
    """Of one generator process, or of several together.

    `statuses`, `latencies` (seconds, from the instant the request was due) and `ended` (seconds
    since the start) are parallel, an entry an answer, as bytes of arrays ('H', 'd', 'd').

    Attributes:
        sent: requests handed to the kernel.
        errors: whatever must not happen, by kind (see load.py).
        codes: problem codes of refusals.
        rids: ids of accepted requests, with a newline after each.
        cpu_s: processor seconds of the generator while it ran.
    """

    sent: int = 0
    errors: dict[str, int] = {}
    codes: dict[str, int] = {}
    statuses: bytes = b""
    latencies: bytes = b""
    ended: bytes = b""
    rids: bytes = b""
    cpu_s: float = 0.0

    def status_array(self) -> "array[int]":
        return array("H", self.statuses)

    def latency_array(self) -> "array[float]":
        return array("d", self.latencies)

    def ended_array(self) -> "array[float]":
        return array("d", self.ended)

    def by_status(self) -> dict[int, int]:
        return dict(sorted(Counter(self.status_array()).items()))

    def latencies_of(self, wanted: Callable[[int], bool]) -> list[float]:
        """Sorted latencies (seconds) of answers whose status is wanted."""
        pairs = zip(self.status_array(), self.latency_array(), strict=True)
        return sorted(latency for status, latency in pairs if wanted(status))

    def per_second(self, status: int) -> list[int]:
        """Answers of this status by the second in which they came."""
        seconds: Counter[int] = Counter(
            int(ended)
            for found, ended in zip(self.status_array(), self.ended_array(), strict=True)
            if found == status
        )
        return [seconds[i] for i in range(max(seconds, default=-1) + 1)]


def together(tallies: Iterable[Tally]) -> Tally:
    """The sum; request ids that came twice, whosever they are, are an error."""
    whole = Tally(errors={}, codes={})
    errors: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    for tally in tallies:
        whole.sent += tally.sent
        whole.cpu_s += tally.cpu_s
        errors.update(tally.errors)
        codes.update(tally.codes)
        whole.statuses += tally.statuses
        whole.latencies += tally.latencies
        whole.ended += tally.ended
        whole.rids += tally.rids
    rids = whole.rids.split()
    if twice := len(rids) - len(set(rids)):
        errors["request_id_twice"] += twice
    whole.errors, whole.codes = dict(errors), dict(codes)
    return whole


def milliseconds(ordered: Sequence[float]) -> dict[str, float]:
    """p50, p99, p99.9 and the maximum, in ms."""
    found = {f"p{p:g}": round(percentile(ordered, p) * 1000, 2) for p in PERCENTILES}
    return {**found, "max": round(ordered[-1] * 1000, 2) if ordered else 0.0}
