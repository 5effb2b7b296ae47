"""Orders and the outbox."""

import pytest

from miaosha.adapters.sql.outbox import REQUEUE_AFTER_MS
from miaosha.domain.errors import Problem
from tests.contract.sql.shop import NOW, PAY_WITHIN_S, Shop


async def test_an_order_is_its_owners_alone(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.grant(sale, 1, 2)
    order = await shop.pay(1)
    assert await shop.ledger.orders.by_rid("batch.1", 1) == order
    assert await shop.ledger.orders.by_id(order.id, 1) == order
    assert await shop.ledger.orders.by_rid("batch.1", 2) is None
    assert await shop.ledger.orders.by_id(order.id, 2) is None
    assert await shop.ledger.orders.delivery("nothing") is None


async def test_orders_come_newest_first_page_by_page(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.grant(sale, *range(1, 8))
    made = [await shop.pay(user, NOW + user // 3) for user in range(1, 8)]  # some at the same ms
    newest = sorted(made, key=lambda order: (order.created_at_ms, order.id), reverse=True)
    seen, cursor = [], None
    for _ in range(4):
        page = await shop.ledger.orders.page(None, cursor, 2)
        seen += page.items
        cursor = page.next_cursor
    assert seen == newest
    assert cursor is None
    assert (await shop.ledger.orders.page(None, None, 7)).next_cursor is None


async def test_orders_by_owner_and_by_sale(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.grant(sale, 1, 2)
    mine, other = await shop.pay(1), await shop.pay(2)
    assert (await shop.ledger.orders.page(1, None, 10)).items == [mine]
    both = (await shop.ledger.orders.page(None, None, 10, sale_id=sale)).items
    assert {order.id for order in both} == {mine.id, other.id}
    assert (await shop.ledger.orders.page(None, None, 10, sale_id=sale + 1)).items == []
    assert (await shop.ledger.orders.page(3, None, 10)).items == []


@pytest.mark.parametrize("cursor", ["x", "1", "1.", ".a", "-1.a", "1." + "a" * 40, "9" * 20 + ".a"])
async def test_a_made_up_cursor_is_a_bad_request(shop: Shop, cursor: str) -> None:
    with pytest.raises(Problem) as caught:
        await shop.ledger.orders.page(None, cursor, 10)
    assert (caught.value.code, caught.value.field) == ("bad_request", "cursor")


async def test_a_mail_is_relayed_sent_once_and_never_again(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.grant(sale, 1)
    [item] = await shop.ledger.outbox.due(NOW, 10)
    assert (item.dedupe_key, item.event, item.attempts, item.state) == (
        "won:batch.1",
        "won",
        0,
        "new",
    )
    await shop.ledger.outbox.mark_queued([item.id], NOW)
    await shop.ledger.outbox.mark_queued([], NOW)
    assert await shop.ledger.outbox.due(NOW + REQUEUE_AFTER_MS - 1, 10) == []
    [lost] = await shop.ledger.outbox.due(NOW + REQUEUE_AFTER_MS, 10)
    assert (lost.id, lost.state) == (item.id, "queued")
    assert await shop.ledger.outbox.mark_sent(item.id, NOW)
    assert not await shop.ledger.outbox.mark_sent(item.id, NOW)
    assert await shop.ledger.outbox.due(NOW + 10**9, 10) == []
    found = await shop.ledger.outbox.item(item.id)
    assert found is not None
    assert found[0].state == "sent"


async def test_a_mail_of_a_clock_that_was_ahead_waits_no_longer_than_any(shop: Shop) -> None:
    """Written an hour ahead, queued or not, and the clock went back."""
    sale = await shop.sale()
    await shop.grant(sale, 1)
    [item] = await shop.ledger.outbox.due(NOW, 10)
    for at_ms, due in ((NOW, []), (NOW + 3_600_000, [item.id])):
        await shop.ledger.outbox.mark_failed(item.id, at_ms, at_ms + REQUEUE_AFTER_MS, "away")
        assert [one.id for one in await shop.ledger.outbox.due(NOW, 10)] == due
        await shop.ledger.outbox.mark_queued([item.id], at_ms)
        assert [one.id for one in await shop.ledger.outbox.due(NOW, 10)] == due


async def test_a_failed_mail_is_tried_again_at_its_time_and_parked_at_last(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.grant(sale, 1)
    [item] = await shop.ledger.outbox.due(NOW, 10)
    await shop.ledger.outbox.mark_queued([item.id], NOW)
    await shop.ledger.outbox.mark_failed(item.id, NOW, NOW + 50, "away " * 100)
    assert await shop.ledger.outbox.due(NOW + 49, 10) == []
    [again] = await shop.ledger.outbox.due(NOW + 50, 10)
    assert (again.attempts, again.state) == (1, "queued")
    await shop.ledger.outbox.mark_failed(item.id, NOW + 60, None, "no such mailbox")
    assert await shop.ledger.outbox.due(NOW + 10**9, 10) == []
    assert not await shop.ledger.outbox.mark_sent(item.id, NOW)
    await shop.ledger.outbox.mark_queued([item.id], NOW)
    found = await shop.ledger.outbox.item(item.id)
    assert found is not None
    assert (found[0].attempts, found[0].state) == (2, "parked")


async def test_a_recipient_is_what_the_mail_needs(shop: Shop) -> None:
    user = await shop.accounts.create("ann@example.org", "Ann", "", "buyer", NOW)
    sale = await shop.sale()
    await shop.grant(sale, user.id)
    order = await shop.pay(user.id)
    won, paid = await shop.ledger.outbox.due(NOW, 10)
    found = await shop.ledger.outbox.item(paid.id)
    assert found is not None
    item, recipient = found
    assert item == paid
    assert (recipient.email, recipient.name) == ("ann@example.org", "Ann")
    assert (recipient.title, recipient.product) == ("A sale", "Lamp")
    assert recipient.pay_by_ms == NOW + PAY_WITHIN_S * 1_000
    assert (recipient.order_no, recipient.price.amount) == (order.order_no, 4_999)
    assert won.event == "won"


async def test_a_recipient_without_an_account_has_no_address(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.grant(sale, 77)
    [item] = await shop.ledger.outbox.due(NOW, 10)
    found = await shop.ledger.outbox.item(item.id)
    assert found is not None
    assert found[1].email == ""
    assert await shop.ledger.outbox.item(999) is None
