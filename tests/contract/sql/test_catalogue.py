"""Products and sales."""

import asyncio

import msgspec
import pytest

from miaosha.adapters.sql.catalogue import SALES_MAX
from miaosha.domain.errors import Problem
from miaosha.domain.money import Money
from miaosha.domain.sale import Phase, Sale
from miaosha.ports.sale_terms import Terms, Unpublished
from tests.contract.sql.shop import NOW, QUESTION, Shop, draft

AT_ONCE = 10


async def test_a_product_is_made_changed_listed_and_deleted(shop: Shop) -> None:
    first, second = await shop.product(), await shop.product()
    changed = msgspec.structs.replace(first, name="Other", list_price=Money(1, "EUR"))
    assert await shop.catalogue.update_product(changed) == changed
    assert await shop.catalogue.product(first.id) == changed
    assert await shop.catalogue.products(None, 9) == [second, changed]
    assert await shop.catalogue.products(None, 1) == [second]
    assert await shop.catalogue.products(second.id, 9) == [changed]
    assert await shop.catalogue.delete_product(first.id)
    assert not await shop.catalogue.delete_product(first.id)
    assert await shop.catalogue.update_product(changed) is None
    assert await shop.catalogue.product(first.id) is None


async def test_a_product_is_changed_only_as_it_was_known(shop: Shop) -> None:
    was = await shop.product()
    ann = msgspec.structs.replace(was, name="Ann's")
    bob = msgspec.structs.replace(was, description="Bob's")
    assert await shop.catalogue.update_product(ann, was) == ann
    assert await shop.catalogue.update_product(bob, was) is None
    assert await shop.catalogue.product(was.id) == ann
    pictured = msgspec.structs.replace(ann, picture_url="/files/lamp.png")
    assert await shop.catalogue.set_picture(was.id, "/files/lamp.png") == pictured
    assert await shop.catalogue.update_product(bob) == msgspec.structs.replace(
        bob, picture_url="/files/lamp.png"
    ), "the picture is not its to change"
    assert await shop.catalogue.set_picture(was.id + 1, "") is None


async def test_a_products_id_is_never_given_twice(shop: Shop) -> None:
    product = await shop.product()
    await shop.catalogue.delete_product(product.id)
    assert (await shop.product()).id > product.id


async def test_a_product_on_sale_stays(shop: Shop) -> None:
    sale = await shop.catalogue.sale(await shop.sale())
    assert sale is not None
    with pytest.raises(Problem, match="uses this product"):
        await shop.catalogue.delete_product(sale.product.id)


async def test_a_sale_comes_back_as_it_was_made(shop: Shop) -> None:
    product = await shop.product()
    terms = draft(product.id, stock=7)
    sale = await shop.catalogue.create_sale(terms, Phase.DRAFT)
    assert await shop.catalogue.sale(sale.id) == sale
    assert (sale.stock, sale.price, sale.questions) == (7, terms.price, [QUESTION])
    assert (sale.product.name, sale.product.list_price) == (product.name, product.list_price)
    assert (sale.phase, sale.frozen, sale.settled_at_ms) == (Phase.DRAFT, None, None)
    assert await shop.catalogue.sale(sale.id + 1) is None


async def test_a_sale_of_an_unknown_product_is_a_bad_request(shop: Shop) -> None:
    with pytest.raises(Problem) as caught:
        await shop.catalogue.create_sale(draft(999), Phase.DRAFT)
    assert (caught.value.code, caught.value.field) == ("bad_request", "product_id")
    sale = await shop.sale(phase=Phase.DRAFT)
    with pytest.raises(Problem):
        await shop.catalogue.update_sale(sale, draft(999))


@pytest.mark.parametrize("phase", [Phase.DRAFT, Phase.SCHEDULED])
async def test_terms_change_until_the_sale_is_armed(shop: Shop, phase: Phase) -> None:
    sale = await shop.sale(phase=phase, armed=False)
    product = await shop.product()
    terms = msgspec.structs.replace(draft(product.id, stock=3), title="New", pay_within_s=5)
    changed = await shop.catalogue.update_sale(sale, terms)
    assert changed is not None
    assert (changed.stock, changed.title, changed.pay_within_s) == (3, "New", 5)
    assert (changed.phase, changed.product.id) == (phase, product.id)


async def test_terms_change_only_from_those_that_were_seen(shop: Shop) -> None:
    product = await shop.product()
    was = draft(product.id, stock=3)
    sale = (await shop.catalogue.create_sale(was, Phase.DRAFT)).id
    now = msgspec.structs.replace(was, title="New")
    assert await shop.catalogue.update_sale(sale, now, was) is not None
    for other in (was, msgspec.structs.replace(now, stock=4), draft(product.id, stock=4)):
        assert await shop.catalogue.update_sale(sale, other, other) is None
    kept = await shop.catalogue.sale(sale)
    assert kept is not None and (kept.title, kept.stock) == ("New", 3)


async def test_an_armed_paused_or_unknown_sale_keeps_its_terms(shop: Shop) -> None:
    armed, paused = await shop.sale(), await shop.sale(armed=False)
    await shop.ledger.sales.set_phase(paused, Phase.SCHEDULED, Phase.PAUSED)
    product = await shop.product()
    for sale in (armed, paused, 999):
        assert await shop.catalogue.update_sale(sale, draft(product.id, stock=3)) is None
    assert (await shop.terms(paused)).stock == 10


async def test_only_a_draft_is_deleted(shop: Shop) -> None:
    drafted, scheduled = await shop.sale(phase=Phase.DRAFT), await shop.sale(armed=False)
    assert await shop.catalogue.delete_sale(drafted)
    assert await shop.ledger.sales.terms(drafted) is None
    assert not await shop.catalogue.delete_sale(drafted)
    assert not await shop.catalogue.delete_sale(scheduled)
    assert await shop.catalogue.sale(scheduled) is not None


async def test_all_sales_are_listed_newest_opening_first_in_pages(shop: Shop) -> None:
    drafted, one, two = await shop.sale(phase=Phase.DRAFT), await shop.sale(), await shop.sale()
    product = await shop.product()
    later = msgspec.structs.replace(draft(product.id), opens_at_ms=NOW + 1)
    last = (await shop.catalogue.create_sale(later, Phase.SCHEDULED)).id
    await shop.ledger.sales.freeze(one, 1, "a test")
    page = await shop.catalogue.sales(None, 9)
    assert [sale.id for sale in page.items] == [last, two, one, drafted]
    assert [sale.frozen for sale in page.items] == [None, None, "a test", None]
    assert page.next_cursor is None
    seen: list[int] = []
    cursor: str | None = None
    while True:
        page = await shop.catalogue.sales(cursor, 1)
        seen += [sale.id for sale in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == [last, two, one, drafted]


@pytest.mark.parametrize("cursor", ["7", "x.7", "7.x", "-1.7", "7.7.7", "٧.7", "9" * 30 + ".1"])
async def test_a_cursor_that_no_page_gave_is_refused(shop: Shop, cursor: str) -> None:
    with pytest.raises(Problem) as caught:
        await shop.catalogue.sales(cursor, 9)
    assert (caught.value.code, caught.value.field) == ("bad_request", "cursor")


async def test_every_live_sale_is_listed_however_many_there_are(shop: Shop) -> None:
    running, over = await shop.sale(), await shop.sale()
    await shop.ledger.sales.close(over, NOW + 1)
    assert await shop.ledger.sales.settle(over, "{}", NOW + 1)
    product = await shop.product()
    earlier = msgspec.structs.replace(draft(product.id), opens_at_ms=NOW - 10**6)
    made: list[Sale] = []
    while len(made) < SALES_MAX:  # not all at once: a connection is waited for some seconds only
        making = (shop.catalogue.create_sale(earlier, Phase.SCHEDULED) for _ in range(AT_ONCE))
        made += await asyncio.gather(*making)

    live = [running, *(sale.id for sale in made)]
    assert [sale.id for sale in await shop.catalogue.live()] == sorted(live)
    assert await shop.ledger.sales.live_ids() == sorted(live)
    assert await shop.ledger.sales.settled_epochs(9) == {over: 1}
    assert [sale.id for sale in await shop.catalogue.settled(9)] == [over]
    assert await shop.catalogue.settled(9, NOW + 2) == []


async def test_one_sale_more_than_may_be_live_is_not_published(shop: Shop) -> None:
    first, second = await shop.sale(phase=Phase.DRAFT), await shop.sale(phase=Phase.DRAFT)
    published = await shop.ledger.sales.publish(first, 1)
    assert isinstance(published, Terms) and published.phase is Phase.SCHEDULED
    assert await shop.ledger.sales.publish(second, 1) is Unpublished.FULL
    assert (await shop.terms(second)).phase is Phase.DRAFT, "nothing is lost"
    assert await shop.ledger.sales.publish(first, 2) is Unpublished.PHASE
    assert isinstance(await shop.ledger.sales.publish(second, 2), Terms)
