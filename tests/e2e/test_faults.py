"""Things die in the middle of a sale. Afterwards every 202 has its outcome and the audit is clean:
the demo's own verdict says so, or the test fails with its report.
"""

from pathlib import Path

import pytest

from tests.e2e.sale_under_fire import sale_under_fire

ROLES = ("publisher", "consumer", "gateway", "api", "scheduler", "mailer")


@pytest.mark.timeout(300)
def test_every_role_is_killed_in_the_middle_of_a_sale(tmp_path: Path) -> None:
    with sale_under_fire(tmp_path, crowd=2_000, stock=100) as sale:
        sale.wait_accepted(200)
        for role in ROLES:  # each is running again before the next one dies
            sale.kill(role)
        sale.verdict()


@pytest.mark.timeout(300)
def test_the_broker_is_killed_and_the_store_comes_back_empty(tmp_path: Path) -> None:
    with sale_under_fire(tmp_path, crowd=1_000, stock=60) as sale:
        sale.wait_accepted(300)
        sale.kill("broker")
        sale.wait_paid(5)
        sale.empty("store")
        sale.verdict()


@pytest.mark.drill
@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", ["store", "broker"])
def test_a_valkey_is_killed_again_and_again(tmp_path: Path, first: str) -> None:
    with sale_under_fire(tmp_path, crowd=1_000, stock=60) as sale:
        sale.wait_accepted(100)
        for round_ in range(4):
            sale.kill(first if round_ % 2 == 0 else {"store": "broker"}.get(first, "store"))
            sale.wait_paid(5 * round_)
        sale.verdict()
