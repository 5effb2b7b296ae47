"""Kills: every role dies at every named point of its work, in the middle of a sale. A restart
follows each death, and the sale ends with a clean audit and every buyer's view in order. A point
that no process of the role came to fails the drill.
"""

from pathlib import Path

import pytest

from tests.drills.mortal.sitecustomize import reached
from tests.e2e.sale_under_fire import sale_under_fire

MORTAL = Path(__file__).parent / "mortal"
POINTS = {
    "publisher": [
        "miaosha.adapters.redis.broker.RedisBroker.publish",
        "miaosha.adapters.redis.store.RedisStore.readings",
        "miaosha.adapters.redis.store.RedisStore.read_sales",
    ],
    "consumer": [
        "miaosha.adapters.redis.store.RedisStore.decide_many",
        "miaosha.adapters.sql.holds.SqlHolds.grant",
        "miaosha.adapters.redis.bus.RedisBus.publish",
        "miaosha.adapters.redis.broker.RedisBroker.remind",
        "miaosha.adapters.redis.store.RedisStore.granted",
    ],
    "scheduler": [
        "miaosha.adapters.sql.holds.SqlHolds.release",
        "miaosha.adapters.redis.store.RedisStore.release",
        "miaosha.adapters.sql.holds.SqlHolds.mark_synced",
        "miaosha.adapters.sql.holds.SqlHolds.grant",
        "miaosha.adapters.redis.store.RedisStore.granted",
        "miaosha.adapters.redis.broker.RedisBroker.send_mail",
        "miaosha.adapters.sql.outbox.SqlOutbox.mark_queued",
        "miaosha.adapters.sql.sale_terms.SqlSaleTerms.live",
        "miaosha.adapters.redis.store.RedisStore.reading",
        "miaosha.adapters.sql.sale_terms.SqlSaleTerms.settle",
        "miaosha.adapters.redis.store.RedisStore.write_sales",
    ],
    "api": [
        "miaosha.adapters.sql.attempts.SqlAttempts.begin",
        "miaosha.adapters.payments.sandbox.SandboxPayments.charge",
        "miaosha.adapters.sql.attempts.SqlAttempts.capture",
        "miaosha.adapters.redis.store.RedisStore.settle",
        "miaosha.adapters.sql.holds.SqlHolds.mark_synced",
        "miaosha.adapters.sql.attempts.SqlAttempts.refuse",
        "miaosha.adapters.sql.holds.SqlHolds.release",
        "miaosha.adapters.redis.store.RedisStore.release",
        "miaosha.adapters.redis.store.RedisStore.leave",
    ],
    "mailer": [
        "miaosha.adapters.mail.file.FileMailer.send",
        "miaosha.adapters.sql.outbox.SqlOutbox.mark_sent",
    ],
    "gateway": [
        "miaosha.adapters.redis.heartbeats.RedisHeartbeats.beat",
        "miaosha.adapters.redis.store.RedisStore.readings",
        "miaosha.adapters.redis.store.RedisStore.read_sales",
    ],
}


@pytest.mark.drill
@pytest.mark.timeout(600)
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("role", POINTS)
def test_dying_at_named_points(tmp_path: Path, role: str, moment: str) -> None:
    points = tmp_path / "points"
    points.write_text("\n".join(f"{name} {moment}" for name in POINTS[role]))
    reached(points).touch()
    environ = {"PYTHONPATH": str(MORTAL), "MORTAL": str(points), "MORTAL_ROLE": role}

    with sale_under_fire(tmp_path, crowd=600, stock=60, pay_within_s=8, extra_env=environ) as sale:
        sale.verdict(within_s=500)

    left = points.read_text().splitlines()
    never = set(left) - set(reached(points).read_text().splitlines())
    assert not never, f"not one of the role's processes came to {sorted(never)}"
    died = len(POINTS[role]) - len(left)
    assert died >= len(POINTS[role]) / 2, f"only {died} deaths; too young at: {left}"
    print(f"{role} {moment}: {died} deaths; too young at: {', '.join(left) or 'none'}")
