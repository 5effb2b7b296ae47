"""Grants and releases: all or nothing, never beyond the stock, harmless to repeat."""

import asyncio

import pytest

from miaosha.domain.reservation import GRACE_MS, HoldState
from miaosha.ports.holds import GrantRefusal, Hold, Winner
from tests.contract.sql.shop import NOW, PAY_WITHIN_S, STANDBY_PAY_WITHIN_S, Shop, winner

DUE = NOW + PAY_WITHIN_S * 1_000 + GRACE_MS


async def test_a_grant_makes_holds_that_say_when_to_pay(shop: Shop) -> None:
    sale = await shop.sale()
    answer = await _grant(shop, sale, winner(1, version=3), winner(2, promoted=True))
    assert isinstance(answer, list)
    direct, promoted = answer
    assert (direct.state, direct.version, direct.rank) == (HoldState.HELD, 3, 1)
    assert direct.pay_by_ms == NOW + PAY_WITHIN_S * 1_000
    assert (promoted.promoted, promoted.pay_by_ms) == (True, NOW + STANDBY_PAY_WITHIN_S * 1_000)
    assert await shop.mails() == ["won:batch.1", "your_turn:batch.2"]
    await shop.balanced(sale)


async def _grant(shop: Shop, sale: int, *winners: Winner) -> list[Hold] | GrantRefusal:
    return await shop.ledger.holds.grant(sale, (await shop.terms(sale)).epoch, winners, NOW)


async def test_holds_come_back_in_the_order_of_the_winners(shop: Shop) -> None:
    sale = await shop.sale()
    assert [h.user_id for h in await shop.grant(sale, 5, 1, 3)] == [5, 1, 3]
    assert [h.user_id for h in await shop.grant(sale, 3, 7, 1)] == [3, 7, 1]
    await shop.balanced(sale)


async def test_a_repeated_grant_changes_nothing(shop: Shop) -> None:
    sale = await shop.sale()
    first = await shop.grant(sale, 1, 2)
    assert await shop.grant(sale, 1, 2) == first
    assert (await shop.terms(sale)).granted == 2
    assert await shop.mails() == ["won:batch.1", "won:batch.2"]


async def test_a_repeat_answers_the_row_as_it_is_now_whatever_the_epoch(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.grant(sale, 1)
    await shop.ledger.holds.release(sale, ["batch.1"], "declined", NOW)
    assert await shop.ledger.sales.freeze(sale, 1, "a test")
    answer = await shop.ledger.holds.grant(sale, 1, [winner(1)], NOW)
    assert isinstance(answer, list)
    assert (answer[0].state, answer[0].reason) == (HoldState.RELEASED, "declined")
    await shop.balanced(sale)


@pytest.mark.parametrize("stock", [3, 4])
async def test_more_winners_than_units_is_refused_as_a_whole(shop: Shop, stock: int) -> None:
    sale = await shop.sale(stock=stock)
    await shop.grant(sale, 1, 2)
    answer = await _grant(shop, sale, *(winner(user) for user in range(10, 13)))
    assert answer is GrantRefusal.STOCK
    assert len(await shop.holds_of(sale)) == 2
    assert await shop.mails() == ["won:batch.1", "won:batch.2"]
    await shop.balanced(sale)


async def test_exactly_the_stock_is_granted(shop: Shop) -> None:
    sale = await shop.sale(stock=3)
    await shop.grant(sale, 1, 2, 3)
    assert await _grant(shop, sale, winner(4)) is GrantRefusal.STOCK
    assert (await shop.terms(sale)).granted == 3


async def test_a_second_live_hold_of_a_user_is_refused(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.grant(sale, 1)
    answer = await _grant(shop, sale, winner(2), winner(1, rid="later.0"))
    assert answer is GrantRefusal.USER
    assert [h.rid for h in await shop.holds_of(sale)] == ["batch.1"]
    assert await _grant(shop, sale, winner(3, rid="x.0"), winner(3, rid="x.1")) is GrantRefusal.USER
    await shop.balanced(sale)


async def test_an_old_epoch_is_refused_before_anything_else(shop: Shop) -> None:
    sale = await shop.sale(stock=1)
    await shop.grant(sale, 1)
    for winners in ([winner(2)], [winner(1, rid="later.0")]):
        assert await shop.ledger.holds.grant(sale, 0, winners, NOW) is GrantRefusal.EPOCH
    assert await shop.ledger.holds.grant(999, 1, [winner(2)], NOW) is GrantRefusal.EPOCH


async def test_a_frozen_sale_waits(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.ledger.sales.freeze(sale, 1, "a test")
    assert await shop.ledger.holds.grant(sale, 1, [winner(1)], NOW) is GrantRefusal.EPOCH
    assert await shop.ledger.holds.grant(sale, 2, [winner(1)], NOW) is GrantRefusal.FROZEN
    assert await shop.ledger.rebuilds.unfreeze(sale, 2)
    assert isinstance(await shop.ledger.holds.grant(sale, 2, [winner(1)], NOW), list)


async def test_a_settled_sale_grants_nothing(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.ledger.sales.close(sale, NOW)
    assert await shop.ledger.sales.settle(sale, "clean", NOW)
    assert await _grant(shop, sale, winner(1)) is GrantRefusal.EPOCH


async def test_a_whole_batch_at_once(shop: Shop) -> None:
    sale = await shop.sale(stock=512)
    holds = await shop.grant(sale, *range(1, 513))
    assert len(holds) == 512
    await shop.balanced(sale)


async def test_no_winners_is_nothing(shop: Shop) -> None:
    assert await shop.ledger.holds.grant(await shop.sale(), 1, [], NOW) == []


async def test_grants_that_compete_never_oversell(shop: Shop) -> None:
    sale = await shop.sale(stock=5)
    answers = await asyncio.gather(*(_grant(shop, sale, winner(user)) for user in range(1, 21)))
    assert sum(isinstance(answer, list) for answer in answers) == 5
    assert sum(answer is GrantRefusal.STOCK for answer in answers) == 15
    await shop.balanced(sale)


# releases


async def test_expiry_takes_only_what_is_due(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.grant(sale, 1, 2)
    assert (await shop.ledger.holds.release(sale, ["batch.1"], "expired", DUE - 1)).holds == []
    released = await shop.ledger.holds.release(sale, ["batch.1"], "expired", DUE)
    assert (released.epoch, released.frozen) == (1, False)
    [hold] = released.holds
    assert (hold.state, hold.reason, hold.version) == (HoldState.RELEASED, "expired", 2)
    assert not hold.synced
    assert "expired:batch.1" in await shop.mails()
    await shop.balanced(sale)


async def test_a_release_happens_once(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.grant(sale, 1, 2)
    rids = ["batch.1", "batch.2", "nobody.0"]
    released = await shop.ledger.holds.release(sale, rids, "declined", NOW)
    assert {hold.rid for hold in released.holds} == {"batch.1", "batch.2"}
    assert (await shop.ledger.holds.release(sale, rids, "declined", NOW)).holds == []
    assert (await shop.ledger.holds.release(sale, [], "declined", NOW)).holds == []
    assert (await shop.terms(sale)).granted == 0
    assert not [mail for mail in await shop.mails() if mail.startswith("expired")]


async def test_of_many_releases_at_once_one_moves_the_hold(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.grant(sale, 1)
    answers = await asyncio.gather(
        *(shop.ledger.holds.release(sale, ["batch.1"], "expired", DUE) for _ in range(20))
    )
    assert sum(len(answer.holds) for answer in answers) == 1
    await shop.balanced(sale)


async def test_a_frozen_sale_releases_nothing(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.grant(sale, 1)
    await shop.ledger.sales.freeze(sale, 1, "a test")
    answer = await shop.ledger.holds.release(sale, ["batch.1"], "declined", NOW)
    assert (answer.epoch, answer.frozen, answer.holds) == (2, True, [])
    assert (await shop.hold("batch.1")).state is HoldState.HELD
    assert await shop.ledger.holds.due(DUE, 10) == []


async def test_another_sales_rid_is_not_released(shop: Shop) -> None:
    sale, other = await shop.sale(), await shop.sale()
    await shop.grant(sale, 1)
    assert (await shop.ledger.holds.release(other, ["batch.1"], "declined", NOW)).holds == []


async def test_a_paying_or_paid_hold_is_not_released(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.grant(sale, 1, 2)
    await shop.begin(1)
    await shop.pay(2)
    answer = await shop.ledger.holds.release(sale, ["batch.1", "batch.2"], "expired", DUE)
    assert answer.holds == []


async def test_a_released_user_may_win_again_with_a_new_rid(shop: Shop) -> None:
    sale = await shop.sale(stock=1)
    await shop.grant(sale, 1)
    await shop.ledger.holds.release(sale, ["batch.1"], "declined", NOW)
    answer = await _grant(shop, sale, Winner("later.0", 1, 9, 5, False))
    assert isinstance(answer, list)
    newest = await shop.ledger.holds.newest(sale, 1)
    live = await shop.ledger.holds.live(sale, 1)
    assert newest == live == answer[0]
    await shop.balanced(sale)


async def test_due_lists_the_oldest_first_and_keeps_to_its_limit(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.grant(sale, 1, 2)
    await shop.grant(sale, 3, promoted=True)
    first, *rest = [h.user_id for h in await shop.ledger.holds.due(DUE, 10)]
    assert (first, set(rest)) == (3, {1, 2})
    assert [h.user_id for h in await shop.ledger.holds.due(DUE - 1, 10)] == [3]
    assert len(await shop.ledger.holds.due(DUE, 2)) == 2


async def test_unsynced_lists_ends_until_they_are_told(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.grant(sale, 1, 2, 3)
    await shop.pay(1)
    await shop.ledger.holds.release(sale, ["batch.2"], "declined", NOW)
    assert {h.rid for h in await shop.ledger.holds.unsynced(10)} == {"batch.1", "batch.2"}
    await shop.ledger.holds.mark_synced(["batch.1", "batch.2"], HoldState.PAID)
    assert [h.rid for h in await shop.ledger.holds.unsynced(10)] == ["batch.2"]
    await shop.ledger.sales.freeze(sale, 1, "a test")
    assert await shop.ledger.holds.unsynced(10) == []
    await shop.ledger.rebuilds.unfreeze(sale, 2)
    await shop.ledger.holds.mark_synced(["batch.2"], HoldState.RELEASED)
    await shop.ledger.holds.mark_synced([], HoldState.RELEASED)
    assert await shop.ledger.holds.unsynced(10) == []


async def test_more_time_is_given_once(shop: Shop) -> None:
    sale = await shop.sale()
    [hold] = await shop.grant(sale, 1)
    assert await shop.ledger.holds.extend("batch.1", 2, 1, 60, NOW) == (False, None)
    assert await shop.ledger.holds.extend("nobody.0", 1, 1, 60, NOW) == (False, None)
    longer = hold._replace(
        pay_by_ms=hold.pay_by_ms + 60_000, version=hold.version + 1, extended=True
    )
    assert await shop.ledger.holds.extend("batch.1", 1, 1, 60, NOW) == (True, longer)
    assert await shop.ledger.holds.extend("batch.1", 1, 1, 60, NOW) == (False, longer)
    [entry] = await shop.trail.entries(None, 10)
    assert (entry.actor, entry.action, entry.subject) == ("user:1", "hold.extend", f"sale:{sale}")
    assert entry.detail == {"rid": "batch.1", "pay_by_ms": longer.pay_by_ms}


async def test_no_more_time_for_a_hold_that_is_paying_or_over(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.grant(sale, 1, 2)
    await shop.begin(1)
    assert not (await shop.ledger.holds.extend("batch.1", 1, 1, 60, NOW)).fresh
    assert not (await shop.ledger.holds.extend("batch.2", 2, 1, 60, DUE)).fresh
    assert await shop.trail.entries(None, 10) == []


async def test_no_more_time_under_another_epoch_or_a_freeze(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.grant(sale, 1)
    assert not (await shop.ledger.holds.extend("batch.1", 1, 2, 60, NOW)).fresh
    await shop.ledger.sales.freeze(sale, 1, "a test")
    assert not (await shop.ledger.holds.extend("batch.1", 1, 2, 60, NOW)).fresh
    await shop.ledger.rebuilds.unfreeze(sale, 2)
    assert (await shop.ledger.holds.extend("batch.1", 1, 2, 60, NOW)).fresh


async def test_an_expiry_and_an_extension_of_one_hold_never_both_happen(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.grant(sale, 1)
    longer, released = await asyncio.gather(
        shop.ledger.holds.extend("batch.1", 1, 1, 60, DUE - 1),
        shop.ledger.holds.release(sale, ["batch.1"], "expired", DUE),
    )
    assert longer.fresh is not bool(released.holds)


async def test_reads_of_what_is_not_there(shop: Shop) -> None:
    sale = await shop.sale()
    assert await shop.ledger.holds.by_rid(["nobody.0"]) == {}
    assert await shop.ledger.holds.live(sale, 1) is None
    assert await shop.ledger.holds.newest(sale, 1) is None
    assert await shop.holds_of(sale) == []
    assert await shop.ledger.sales.terms(999) is None
