"""Every role dies at every named point of its work, in the middle of a sale; each death is followed
by a restart, and the sale ends with a clean audit and every buyer's view in order.
"""

from pathlib import Path

import pytest

from tests.e2e.sale_under_fire import sale_under_fire

MORTAL = Path(__file__).parent / "mortal"
POINTS = {
    "publisher": ["RedisBroker.publish", "RedisStore.reading", "RedisStore.read_sales"],
    "consumer": [
        "RedisStore.decide_many",
        "SqlHolds.grant",
        "RedisBus.publish",
        "RedisBroker.remind",
        "RedisStore.granted",
    ],
    "scheduler": [
        "SqlHolds.release",
        "RedisStore.release",
        "SqlHolds.mark_synced",
        "SqlHolds.grant",
        "RedisStore.granted",
        "RedisBroker.send_mail",
        "SqlOutbox.mark_queued",
        "SqlSaleRows.close",
        "RedisStore.set_phase",
        "SqlSaleRows.settle",
        "RedisStore.write_sales",
    ],
    "api": [
        "SqlAttempts.begin",
        "SandboxPayments.charge",
        "SqlAttempts.capture",
        "RedisStore.settle",
        "SqlHolds.mark_synced",
        "SqlAttempts.refuse",
        "SqlHolds.release",
        "RedisStore.release",
        "RedisStore.leave",
    ],
    "mailer": ["FileMailer.send", "SqlOutbox.mark_sent"],
    "gateway": ["RedisStore.place", "RedisStore.reading"],
}


@pytest.mark.drill
@pytest.mark.timeout(600)
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("role", POINTS)
def test_dying_at_named_points(tmp_path: Path, role: str, moment: str) -> None:
    points = tmp_path / "points"
    points.write_text("\n".join(f"{name} {moment}" for name in POINTS[role]))
    environ = {"PYTHONPATH": str(MORTAL), "MORTAL": str(points), "MORTAL_ROLE": role}

    with sale_under_fire(tmp_path, crowd=600, stock=60, pay_within_s=8, extra_env=environ) as sale:
        sale.verdict(within_s=500)

    left = points.read_text().split("\n") if points.read_text() else []
    died = len(POINTS[role]) - len(left)
    assert died >= len(POINTS[role]) / 2, f"only {died} deaths; never came to: {left}"
    print(f"{role} {moment}: {died} deaths; never came to: {', '.join(left) or 'none'}")
