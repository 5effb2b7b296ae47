"""Payments: one attempt pins a hold, one wins against expiry, every money has its unit."""

import asyncio
import random

import pytest

from miaosha.adapters.sql.ledger import SqlLedger
from miaosha.domain.reservation import GRACE_MS, MAX_ATTEMPTS, HoldState
from miaosha.ports.attempts import BegunAttempt, NotPayable
from miaosha.ports.holds import Released
from tests.contract.sql.shop import DELIVERY, NOW, PAY_WITHIN_S, Shop, winner

PAY_BY = NOW + PAY_WITHIN_S * 1_000


async def test_a_payment_pins_the_hold(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.grant(sale, 1)
    attempt = await shop.begin(1)
    assert (attempt.attempt, attempt.key, attempt.amount.amount) == (1, "batch.1:1", 4_999)
    hold = await shop.hold("batch.1")
    assert (hold.state, hold.paying_since_ms, hold.version) == (HoldState.PAYING, NOW, 2)
    assert await shop.ledger.holds.due(PAY_BY + GRACE_MS, 10) == []


async def test_a_hundred_payments_of_one_hold_are_one_attempt(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.grant(sale, 1)
    answers = await asyncio.gather(
        *(shop.ledger.attempts.begin("batch.1", 1, DELIVERY, NOW) for _ in range(100))
    )
    assert sum(isinstance(answer, BegunAttempt) for answer in answers) == 1
    assert answers.count(NotPayable.PAYING) == 99
    assert (await shop.hold("batch.1")).attempt == 1


async def test_what_cannot_be_paid_says_why(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.grant(sale, 1, 2)
    begin = shop.ledger.attempts.begin
    assert await begin("nobody.0", 1, DELIVERY, NOW) is NotPayable.UNKNOWN
    assert await begin("batch.1", 2, DELIVERY, NOW) is NotPayable.UNKNOWN
    await shop.pay(1)
    assert await begin("batch.1", 1, DELIVERY, NOW) is NotPayable.PAID
    await shop.ledger.holds.release(sale, ["batch.2"], "declined", NOW)
    assert await begin("batch.2", 2, DELIVERY, NOW) is NotPayable.RELEASED


async def test_a_held_row_is_paid_whatever_the_clock_says(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.grant(sale, 1)
    await shop.ledger.sales.freeze(sale, 1, "payments go on")
    await shop.pay(1, PAY_BY + 3_600_000)
    await shop.balanced(sale)


async def test_a_capture_makes_the_order_the_mail_and_the_count(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.grant(sale, 1)
    attempt = await shop.begin(1)
    captured = await shop.ledger.attempts.capture("batch.1", attempt.attempt, NOW + 5)
    order, hold = captured.order, captured.hold
    assert order is not None and hold is not None
    assert captured.epoch == 1
    assert (order.rid, order.user_id, order.state) == ("batch.1", 1, "paid")
    assert (order.amount, order.currency, order.created_at_ms) == (4_999, "USD", NOW + 5)
    assert (hold.state, hold.version, hold.synced) == (HoldState.PAID, 3, False)
    assert await shop.mails() == ["won:batch.1", "paid:batch.1"]
    assert await shop.ledger.orders.delivery(order.id) == DELIVERY
    await shop.balanced(sale)


async def test_a_repeated_capture_answers_the_same_order(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.grant(sale, 1)
    await shop.begin(1)
    answers = await asyncio.gather(
        *(shop.ledger.attempts.capture("batch.1", 1, NOW + i) for i in range(20))
    )
    assert len({answer.order.id for answer in answers if answer.order}) == 1
    assert all(answer.order for answer in answers)
    assert await shop.mails() == ["won:batch.1", "paid:batch.1"]
    await shop.balanced(sale)


async def test_an_attempt_that_lost_the_hold_captures_nothing(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.grant(sale, 1)
    first = await shop.begin(1)
    await shop.ledger.attempts.refuse("batch.1", first.attempt, NOW)
    second = await shop.begin(1)
    late = await shop.ledger.attempts.capture("batch.1", first.attempt, NOW)
    assert late.order is None
    assert late.hold is not None
    assert late.hold.state is HoldState.PAYING
    assert (await shop.ledger.attempts.capture("batch.1", second.attempt, NOW)).order is not None
    assert (await shop.ledger.attempts.capture("batch.1", first.attempt, NOW)).order is None
    unknown = await shop.ledger.attempts.capture("nobody.0", 1, NOW)
    assert (unknown.order, unknown.hold, unknown.epoch) == (None, None, 0)


async def test_a_refusal_gives_the_hold_back_while_there_is_time(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.grant(sale, 1)
    attempt = await shop.begin(1)
    assert await shop.ledger.attempts.refuse("batch.1", attempt.attempt, PAY_BY - 1) == Released(
        1, False, []
    )
    hold = await shop.hold("batch.1")
    assert (hold.state, hold.paying_since_ms, hold.version) == (HoldState.HELD, None, 3)
    assert (await shop.begin(1)).key == "batch.1:2"


async def test_a_refusal_after_pay_by_releases_without_grace(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.grant(sale, 1)
    attempt = await shop.begin(1)
    released = await shop.ledger.attempts.refuse("batch.1", attempt.attempt, PAY_BY)
    [hold] = released.holds
    assert (hold.state, hold.reason, hold.version) == (HoldState.RELEASED, "expired", 3)
    assert "expired:batch.1" in await shop.mails()
    assert (await shop.ledger.attempts.refuse("batch.1", attempt.attempt, PAY_BY)).holds == []
    await shop.balanced(sale)


async def test_the_fifth_refusal_releases(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.grant(sale, 1)
    for number in range(1, MAX_ATTEMPTS + 1):
        attempt = await shop.begin(1)
        released = await shop.ledger.attempts.refuse("batch.1", attempt.attempt, NOW)
        assert len(released.holds) == (number == MAX_ATTEMPTS)
    await shop.balanced(sale)


async def test_nobody_unpins_another_attempt(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.grant(sale, 1)
    await shop.begin(1)
    await shop.ledger.attempts.refuse("batch.1", 1, NOW)
    await shop.begin(1)
    for late in (1, 3):
        assert (await shop.ledger.attempts.refuse("batch.1", late, PAY_BY)).holds == []
    assert (await shop.hold("batch.1")).state is HoldState.PAYING
    assert (await shop.ledger.attempts.refuse("nobody.0", 1, NOW)).holds == []


async def test_a_refusal_in_a_frozen_sale_waits_for_the_sweep(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.grant(sale, 1, 2)
    for _ in range(MAX_ATTEMPTS - 1):
        await shop.begin(2)
        await shop.ledger.attempts.refuse("batch.2", (await shop.hold("batch.2")).attempt, NOW)
    await shop.begin(1)
    await shop.begin(2)
    await shop.ledger.sales.freeze(sale, 1, "a test")
    assert await shop.ledger.attempts.refuse("batch.1", 1, PAY_BY) == Released(2, True, [])
    assert await shop.ledger.attempts.refuse("batch.2", 5, NOW) == Released(2, True, [])
    for user in (1, 2):
        assert (await shop.hold(f"batch.{user}")).state is HoldState.HELD
    answer = await shop.ledger.attempts.begin("batch.2", 2, DELIVERY, NOW)
    assert answer is NotPayable.RELEASED  # its attempts are used up
    await shop.ledger.rebuilds.unfreeze(sale, 2)
    assert [h.user_id for h in await shop.ledger.holds.due(NOW + GRACE_MS, 10)] == [2]
    await shop.balanced(sale)


async def test_a_voided_attempt_is_known_as_such(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.grant(sale, 1)
    attempt = await shop.begin(1)
    await shop.ledger.attempts.refuse("batch.1", attempt.attempt, NOW, state="voided")
    assert (await shop.hold("batch.1")).state is HoldState.HELD
    assert await shop.ledger.attempts.by_key("batch.1:1") == attempt


async def test_stale_payments_are_those_paying_for_long(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.grant(sale, 1, 2, 3)
    old = await shop.begin(1, NOW - 10)
    await shop.begin(2, NOW)
    await shop.pay(3, NOW - 20)
    assert await shop.ledger.attempts.stale(NOW, 10) == [old]
    assert len(await shop.ledger.attempts.stale(NOW + 1, 1)) == 1


@pytest.mark.parametrize("key", ["", "batch.1", "batch.1:", "batch.1:2", "batch.1:x", ":1", "a:٣"])
async def test_an_attempt_is_found_by_its_key_alone(shop: Shop, key: str) -> None:
    sale = await shop.sale()
    await shop.grant(sale, 1)
    attempt = await shop.begin(1)
    assert await shop.ledger.attempts.by_key(key) is None
    assert await shop.ledger.attempts.by_key("batch.1:1") == attempt


async def test_money_that_came_too_late_is_refunded_with_one_mail(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.grant(sale, 1)
    await shop.begin(1)
    await shop.ledger.attempts.refuse("batch.1", 1, PAY_BY)
    await shop.ledger.attempts.mark_refunded("batch.1:1", NOW)
    await shop.ledger.attempts.mark_refunded("batch.1:1", NOW)
    await shop.ledger.attempts.mark_refunded("nobody.0:1", NOW)
    assert [m for m in await shop.mails() if m.startswith("refunded")] == ["refunded:batch.1:1"]


async def test_a_captured_payment_is_not_marked_refunded(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.grant(sale, 1)
    await shop.pay(1)
    await shop.ledger.attempts.mark_refunded("batch.1:1", NOW)
    assert await shop.mails() == ["won:batch.1", "paid:batch.1"]


async def test_a_taken_order_number_is_drawn_again(shop: Shop) -> None:
    numbers = iter(["SAME-0001", "SAME-0001", "SAME-0001", "NEXT-0002"])
    shop.ledger = SqlLedger(shop.db, order_no=lambda: next(numbers))
    sale = await shop.sale()
    await shop.grant(sale, 1, 2)
    assert (await shop.pay(1)).order_no == "SAME-0001"
    assert (await shop.pay(2)).order_no == "NEXT-0002"
    await shop.balanced(sale)


async def test_pay_against_expiry_at_the_deadline_has_one_winner(file_shop: Shop) -> None:
    """1,000 holds, each paid and expired at the same moment, in an order drawn by a seed."""
    shop, rounds = file_shop, 1_000
    sale = await shop.sale(stock=rounds)
    for start in range(1, rounds + 1, 500):
        await shop.grant(sale, *range(start, start + 500))
    due = PAY_BY + GRACE_MS
    draw = random.Random(7)

    async def one(user: int) -> tuple[bool, bool]:
        pay = shop.ledger.attempts.begin(f"batch.{user}", user, DELIVERY, due)
        expire = shop.ledger.holds.release(sale, [f"batch.{user}"], "expired", due)
        if draw.random() < 0.5:
            paid, released = await asyncio.gather(pay, expire)
        else:
            released, paid = await asyncio.gather(expire, pay)
        if isinstance(paid, BegunAttempt):
            captured = await shop.ledger.attempts.capture(paid.hold.rid, paid.hold.attempt, due)
            assert captured.order is not None
        else:
            assert paid is NotPayable.RELEASED
        return isinstance(paid, BegunAttempt), bool(released.holds)

    results = [
        r
        for i in range(0, rounds, 100)
        for r in await asyncio.gather(*(one(u) for u in range(i + 1, i + 101)))
    ]
    assert all(paid != released for paid, released in results)
    assert 0 < sum(paid for paid, _ in results) < rounds
    await shop.balanced(sale)


async def test_a_lost_race_over_the_last_unit_writes_nothing(shop: Shop) -> None:
    sale = await shop.sale(stock=1)
    await shop.grant(sale, 1)
    await shop.begin(1)
    await asyncio.gather(
        shop.ledger.attempts.capture("batch.1", 1, PAY_BY),
        shop.ledger.attempts.refuse("batch.1", 1, PAY_BY),
    )
    hold = await shop.hold("batch.1")
    assert hold.state in (HoldState.PAID, HoldState.RELEASED)
    await shop.balanced(sale)
    if hold.state is HoldState.RELEASED:
        assert isinstance(await shop.ledger.holds.grant(sale, 1, [winner(2)], NOW), list)
