"""Percentiles: of a sorted sequence, by nearest rank, for reports and benchmarks."""

from collections.abc import Sequence


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` % of a sorted sequence do not exceed (else 0)."""
    if not ordered:
        return 0.0
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, min(len(ordered), int(rank)) - 1)]
