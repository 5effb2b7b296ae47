"""The laboratory for twenty minutes, with seeds nobody has seen; they are printed first."""

import time
from typing import Final

import pytest

from tests.lab.__main__ import summary
from tests.lab.campaign import campaign

LONG_S: Final = 20 * 60.0
MANY: Final = 1_000_000


@pytest.mark.drill
@pytest.mark.timeout(LONG_S + 300)
def test_twenty_minutes_of_new_seeds() -> None:
    first = int(time.time()) * 1_000
    print(f"seeds from {first}")
    totals = campaign(range(first, first + MANY), within_s=LONG_S)
    print(summary(totals))
    assert [(verdict.seed, verdict.findings) for verdict in totals.found] == []
