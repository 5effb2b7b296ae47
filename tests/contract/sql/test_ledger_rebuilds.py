"""The rows of a sale in pages, for a rebuild: each once, by buyer, with time to pay."""

import pytest

from miaosha.domain.reservation import HoldState
from miaosha.ports.rebuilding import PAGE, HoldBounds
from tests.contract.sql.shop import NOW, PAY_WITHIN_S, Shop, winner


async def test_pages_hold_every_row_once_in_the_order_of_buyers(shop: Shop) -> None:
    sale, other = await shop.sale(stock=PAGE + 88), await shop.sale()
    users = list(range(PAGE + 88, 0, -1))
    for start in range(0, len(users), 300):
        await shop.grant(sale, *users[start : start + 300])
    await shop.ledger.holds.grant(other, 1, [winner(9_999)], NOW)
    first = await shop.ledger.holds.page(sale, (0, ""))
    assert [hold.user_id for hold in first] == list(range(1, PAGE + 1))
    rest = await shop.ledger.holds.page(sale, (first[-1].user_id, first[-1].rid))
    assert [hold.user_id for hold in rest] == list(range(PAGE + 1, PAGE + 89))
    assert await shop.ledger.holds.page(sale, (rest[-1].user_id, rest[-1].rid)) == []


async def test_the_rows_of_one_buyer_come_in_the_order_of_their_rids(shop: Shop) -> None:
    sale = await shop.sale(stock=3)
    rids = []
    for press in range(3):
        one = winner(7)._replace(rid=f"press-{press}.0", rank=press + 1)
        await shop.ledger.holds.grant(sale, 1, [one], NOW)
        await shop.ledger.holds.release(sale, [one.rid], "declined", NOW)
        rids.append(one.rid)
    assert [h.rid for h in await shop.ledger.holds.page(sale, (0, ""))] == rids
    assert [h.rid for h in await shop.ledger.holds.page(sale, (7, rids[0]))] == rids[1:]
    assert await shop.ledger.holds.page(sale, (7, rids[2])) == []


END_MS = NOW + PAY_WITHIN_S * 1_000  # of what the shop grants


@pytest.mark.parametrize(
    ("soonest_ms", "latest_ms", "pay_by_ms"),
    [
        (END_MS - 1, END_MS + 1, END_MS),
        (END_MS, END_MS, END_MS),
        (END_MS + 1_000, END_MS + 2_000, END_MS + 1_000),
        (END_MS - 2_000, END_MS - 1_000, END_MS - 1_000),
    ],
)
async def test_live_rows_are_brought_within_bounds(
    shop: Shop, soonest_ms: int, latest_ms: int, pay_by_ms: int
) -> None:
    """Also a payment under way: whose card is refused may try another."""
    sale = await shop.sale()
    await shop.grant(sale, 1, 2, 3)
    await shop.begin(2)
    await shop.pay(3)
    rids = [f"batch.{user}" for user in (1, 2, 3)]
    before = await shop.ledger.holds.by_rid(rids)
    bounds = HoldBounds(soonest_ms, latest_ms, 0, END_MS)
    live = [before[rid] for rid in rids[:2]]
    assert [bounds.keep(hold) for hold in live] == [pay_by_ms == END_MS] * 2
    given = await shop.ledger.rebuilds.bring_within(sale, rids, bounds)
    for hold in live:
        moved = hold.version + (pay_by_ms != END_MS)
        assert given[hold.rid] == hold._replace(pay_by_ms=pay_by_ms, version=moved)
        assert bounds.keep(given[hold.rid])
    assert given[rids[2]] == before[rids[2]]
    assert given[rids[2]].state is HoldState.PAID
    assert bounds.keep(given[rids[2]])
    assert await shop.ledger.holds.by_rid(rids) == given
    assert await shop.ledger.rebuilds.bring_within(sale, rids, bounds) == given


@pytest.mark.parametrize(("begun_ms", "now_ms"), [(NOW + 5_000, NOW + 9_000), (0, NOW - 9_000)])
async def test_the_start_of_a_payment_is_brought_within_bounds(
    shop: Shop, begun_ms: int, now_ms: int
) -> None:
    sale = await shop.sale()
    [paying, held] = await shop.grant(sale, 1, 2)
    await shop.begin(1)
    bounds = HoldBounds(0, END_MS, begun_ms, now_ms)
    assert not bounds.keep(await shop.hold(paying.rid))
    given = await shop.ledger.rebuilds.bring_within(sale, [paying.rid, held.rid], bounds)
    since_ms = given[paying.rid].paying_since_ms
    assert since_ms == min(max(begun_ms, NOW), now_ms)
    assert given[held.rid] == held
    assert bounds.keep(given[paying.rid])


async def test_who_has_a_row_of_a_sale_is_told(shop: Shop) -> None:
    sale, other = await shop.sale(), await shop.sale()
    await shop.grant(sale, 1, 2)
    await shop.ledger.holds.release(sale, ["batch.2"], "declined", NOW)
    assert await shop.ledger.rebuilds.buyers(sale, [1, 2, 3]) == {1, 2}
    assert await shop.ledger.rebuilds.buyers(other, [1, 2, 3]) == set()
    assert await shop.ledger.rebuilds.buyers(sale, []) == set()


async def test_a_rebuild_begins_by_the_terms_that_asked_for_it(shop: Shop) -> None:
    """Who found it needful may be late: another has rebuilt the sale, or frozen it, meanwhile."""
    sale = await shop.sale()
    rebuilds = shop.ledger.rebuilds
    seen = await shop.ledger.sales.terms(sale)
    assert seen is not None
    begun = await rebuilds.begin(sale, "lost", seen=seen)
    assert begun is not None and (begun.epoch, begun.frozen) == (seen.epoch + 1, "lost")
    assert await rebuilds.begin(sale, "lost", seen=seen) is None
    again = await rebuilds.begin(sale, "lost", seen=begun)
    assert again is not None and again.epoch == begun.epoch + 1
    assert await rebuilds.unfreeze(sale, again.epoch)
    assert await rebuilds.begin(sale, "lost", seen=again) is None, "its freeze has ended"
    assert await rebuilds.begin(sale, "by hand") is not None
