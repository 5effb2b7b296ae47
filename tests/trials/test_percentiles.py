"""Percentiles by nearest rank."""

from miaosha.trials.percentiles import percentile


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(n) for n in range(1, 101)]
    assert percentile(values, 0) == 1
    assert percentile(values, 50) == 50
    assert percentile(values, 99) == 99
    assert percentile(values, 99.9) == 100
    assert percentile(values, 100) == 100
    assert percentile([], 99) == 0
    assert percentile([3.0], 50) == 3.0
