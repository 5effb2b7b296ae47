"""The ledger row: epochs, freezing, stock, phases, settling, leases."""

import asyncio

import pytest

from miaosha.domain.reservation import HoldState
from miaosha.domain.sale import Phase
from miaosha.ports.leases import LeaseRow
from tests.contract.sql.shop import CLOSES, NOW, PAY_WITHIN_S, Shop


async def test_terms_of_a_new_sale(shop: Shop) -> None:
    sale = await shop.sale(armed=False)
    terms = await shop.terms(sale)
    assert (terms.epoch, terms.frozen, terms.stock, terms.granted, terms.sold) == (
        0,
        None,
        10,
        0,
        0,
    )
    assert (terms.phase, terms.pay_within_s) == (Phase.SCHEDULED, PAY_WITHIN_S)
    assert terms.price.amount == 4_999


async def test_live_terms_are_of_scheduled_and_paused_sales(shop: Shop) -> None:
    await shop.sale(phase=Phase.DRAFT)
    scheduled, paused, settled = [await shop.sale() for _ in range(3)]
    await shop.ledger.sales.set_phase(paused, Phase.SCHEDULED, Phase.PAUSED)
    await shop.ledger.sales.close(settled, NOW)
    await shop.ledger.sales.settle(settled, "clean", NOW)
    assert [terms.sale_id for terms in await shop.ledger.sales.live()] == [scheduled, paused]


async def test_a_freeze_moves_the_epoch_and_only_one_of_two_wins(shop: Shop) -> None:
    sale = await shop.sale()
    answers = await asyncio.gather(
        *(shop.ledger.sales.freeze(sale, 1, f"why {i}") for i in range(5))
    )
    assert sorted(answers) == [False] * 4 + [True]
    terms = await shop.terms(sale)
    assert terms.epoch == 2
    assert terms.frozen == f"why {answers.index(True)}"
    assert not await shop.ledger.rebuilds.unfreeze(sale, 1)
    assert await shop.ledger.rebuilds.unfreeze(sale, 2)
    assert (await shop.terms(sale)).frozen is None


async def test_a_long_reason_is_cut(shop: Shop) -> None:
    sale = await shop.sale()
    assert await shop.ledger.sales.freeze(sale, 1, "x" * 5_000)
    assert (await shop.terms(sale)).frozen == "x" * 500


async def test_a_rebuild_bumps_the_epoch_and_keeps_the_first_reason(shop: Shop) -> None:
    sale = await shop.sale()
    [hold] = await shop.grant(sale, 1)
    terms = await shop.ledger.rebuilds.begin(sale, "redis was lost")
    assert terms is not None
    assert (terms.epoch, terms.frozen) == (2, "redis was lost")
    terms = await shop.ledger.rebuilds.begin(sale, "second")
    assert terms is not None
    assert (terms.epoch, terms.frozen) == (3, "redis was lost")
    assert await shop.hold("batch.1") == hold


async def test_a_draft_and_a_settled_sale_are_not_rebuilt_or_frozen(shop: Shop) -> None:
    draft, settled = await shop.sale(phase=Phase.DRAFT), await shop.sale()
    await shop.ledger.sales.close(settled, NOW)
    await shop.ledger.sales.settle(settled, "clean", NOW)
    for sale, epoch in ((draft, 0), (settled, 1), (999, 0)):
        assert await shop.ledger.rebuilds.begin(sale, "why") is None
        assert not await shop.ledger.sales.freeze(sale, epoch, "why")


async def test_stock_rises_until_the_sale_closes(shop: Shop) -> None:
    sale = await shop.sale(stock=5)
    raised = await shop.ledger.sales.raise_stock(sale, 8, NOW)
    assert raised is not None
    assert (raised.stock, raised.epoch) == (8, 1)
    assert await shop.ledger.sales.raise_stock(sale, 8, NOW) is None
    assert await shop.ledger.sales.raise_stock(sale, 7, NOW) is None
    assert await shop.ledger.sales.raise_stock(sale, 9, CLOSES) is None


async def test_stock_falls_only_to_what_is_granted_and_moves_the_epoch(shop: Shop) -> None:
    sale = await shop.sale(stock=5)
    await shop.grant(sale, 1, 2)
    assert await shop.ledger.sales.lower_stock(sale, 1) is None
    assert await shop.ledger.sales.lower_stock(sale, 5) is None
    lowered = await shop.ledger.sales.lower_stock(sale, 2)
    assert lowered is not None
    assert (lowered.stock, lowered.epoch) == (2, 2)
    await shop.balanced(sale)


async def test_phases_move_by_compare_and_set(shop: Shop) -> None:
    sale = await shop.sale(phase=Phase.DRAFT)
    assert await shop.ledger.sales.set_phase(sale, Phase.SCHEDULED, Phase.PAUSED) is None
    scheduled = await shop.ledger.sales.set_phase(sale, Phase.DRAFT, Phase.SCHEDULED)
    assert scheduled is not None
    assert scheduled.phase is Phase.SCHEDULED
    assert await shop.ledger.sales.set_phase(sale, Phase.DRAFT, Phase.SCHEDULED) is None


async def test_closing_is_now_unless_it_is_past(shop: Shop) -> None:
    sale = await shop.sale()
    closed = await shop.ledger.sales.close(sale, NOW)
    assert closed is not None
    assert closed.closes_at_ms == NOW
    again = await shop.ledger.sales.close(sale, NOW + 5)
    assert again is not None
    assert again.closes_at_ms == NOW
    assert await shop.ledger.sales.close(999, NOW) is None
    assert await shop.ledger.sales.close(await shop.sale(phase=Phase.DRAFT), NOW) is None


async def test_a_sale_settles_only_when_nothing_is_open(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.grant(sale, 1, 2)
    assert not await shop.ledger.sales.settle(sale, "clean", NOW)  # not closed
    await shop.ledger.sales.close(sale, NOW)
    assert not await shop.ledger.sales.settle(sale, "clean", NOW)  # two HELD
    await shop.ledger.holds.release(sale, ["batch.1"], "declined", NOW)
    await shop.ledger.holds.mark_synced(["batch.1"], HoldState.RELEASED)
    attempt = await shop.begin(2)
    assert not await shop.ledger.sales.settle(sale, "clean", NOW)  # one PAYING
    await shop.ledger.attempts.capture("batch.2", attempt.attempt, NOW)
    assert not await shop.ledger.sales.settle(sale, "clean", NOW)  # Redis not told
    await shop.ledger.holds.mark_synced(["batch.2"], HoldState.PAID)
    await shop.ledger.sales.freeze(sale, 1, "a test")
    assert not await shop.ledger.sales.settle(sale, "clean", NOW)  # frozen
    await shop.ledger.rebuilds.unfreeze(sale, 2)
    assert await shop.ledger.sales.settle(sale, "clean", NOW + 7)
    assert not await shop.ledger.sales.settle(sale, "clean", NOW + 8)
    stored = await shop.catalogue.sale(sale)
    assert stored is not None
    assert (stored.phase, stored.settled_at_ms) == (Phase.SETTLED, NOW + 7)


async def test_a_lease_is_held_prolonged_lost_and_given_back(shop: Shop) -> None:
    ledger = shop.ledger

    async def take(owner: str, dead: LeaseRow | None = None, at_ms: int = NOW) -> LeaseRow:
        return (await ledger.leases.take("sweep", owner, at_ms, dead))[0]

    first = await take("one")
    assert first.owner == "one"
    assert await take("two") == first, "who only looks changes nothing"
    alive = await take("one", at_ms=NOW - 3_600_000)  # set back, it lives all the same
    assert (alive.owner, alive.until_ms) == ("one", NOW - 3_600_000)
    assert await take("two", dead=first) == alive, "it gave a sign of life since"
    second = await take("two", dead=alive)
    assert second.owner == "two"
    assert await take("one", dead=alive) == second
    await ledger.leases.free("sweep", "one")
    assert await take("one") == second, "it was not its to give back"
    await ledger.leases.free("sweep", "two")
    row, before = await ledger.leases.take("sweep", "one", NOW, None)
    assert before is not None and (row.owner, before.owner) == ("one", "")
    assert before.until_ms == second.until_ms, "who comes next sees when the last one led"
    await ledger.leases.drop("sweep", "two")
    assert (await take("two")).owner == "one"
    await ledger.leases.drop("sweep", "one")
    assert (await ledger.leases.take("sweep", "two", NOW, None))[1] is None
    assert (await ledger.leases.take("other", "one", NOW, None))[0].owner == "one"


async def test_of_many_one_gets_the_lease(shop: Shop) -> None:
    async def taken(number: int, dead: LeaseRow | None) -> bool:
        owner = f"owner {number}"
        row, _ = await shop.ledger.leases.take("sweep", owner, NOW, dead)
        return row.owner == owner

    first = await asyncio.gather(*(taken(number, None) for number in range(20)))
    assert first.count(True) == 1
    dead, _ = await shop.ledger.leases.take("sweep", "nobody else", NOW, None)
    then = await asyncio.gather(*(taken(number, dead) for number in range(20, 40)))
    assert then.count(True) == 1


@pytest.mark.parametrize("old", [Phase.SETTLED])
async def test_a_settled_sale_never_opens_again(shop: Shop, old: Phase) -> None:
    with pytest.raises(AssertionError):
        await shop.ledger.sales.set_phase(1, old, Phase.SCHEDULED)
