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
def test_the_store_comes_back_empty_in_the_middle_of_a_sale(tmp_path: Path) -> None:
    with sale_under_fire(tmp_path, crowd=1_000, stock=60) as sale:
        sale.wait_accepted(400)
        sale.empty("store")
        sale.verdict()


@pytest.mark.timeout(300)
def test_both_valkeys_are_killed_in_the_middle_of_a_sale(tmp_path: Path) -> None:
    with sale_under_fire(tmp_path, crowd=1_000, stock=60) as sale:
        sale.wait_accepted(300)
        sale.kill("broker")
        sale.wait_paid(5)
        sale.kill("store")
        sale.verdict()
