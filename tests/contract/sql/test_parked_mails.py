"""Mails that were given up on: listed with their reason and buyer, counted, and sent again once."""

from miaosha.ports.outbox import ParkedMail
from tests.contract.sql.shop import NOW, Shop


async def parked(shop: Shop, *users: int) -> tuple[int, list[int]]:
    """A sale and the ids of its `won` mails, each given up on later than the one before."""
    sale = await shop.sale()
    await shop.grant(sale, *users)
    ids = []
    for number, item in enumerate(await shop.ledger.outbox.due(NOW, 100)):
        await shop.ledger.outbox.mark_queued([item.id], NOW)
        await shop.ledger.outbox.mark_failed(item.id, NOW, NOW + 1, "away")
        await shop.ledger.outbox.mark_failed(item.id, NOW + number, None, "no such mailbox")
        ids.append(item.id)
    return sale, ids


async def test_they_are_listed_newest_first_with_reason_and_buyer(shop: Shop) -> None:
    user = await shop.accounts.create("ann@example.org", "Ann", "", "buyer", NOW)
    sale, [first, last] = await parked(shop, user.id, 99)
    rid = f"batch.{user.id}"
    ann = ParkedMail(first, "won", rid, sale, user.id, "ann@example.org", 2, "no such mailbox", NOW)
    nobody = ParkedMail(last, "won", "batch.99", sale, 99, "", 2, "no such mailbox", NOW + 1)
    assert await shop.ledger.outbox.parked(10) == [nobody, ann]
    assert await shop.ledger.outbox.parked(1) == [nobody]
    assert await shop.ledger.outbox.count_parked() == 2


async def test_sent_again_is_once_and_with_all_attempts(shop: Shop) -> None:
    _, [first, last] = await parked(shop, 1, 2)
    assert await shop.ledger.outbox.redrive([first, 999_999], NOW + 60) == [first]
    assert await shop.ledger.outbox.redrive([first], NOW + 61) == []
    assert await shop.ledger.outbox.redrive([], NOW) == []
    assert await shop.ledger.outbox.count_parked() == 1
    assert await shop.ledger.outbox.due(NOW + 59, 10) == []
    [item] = await shop.ledger.outbox.due(NOW + 60, 10)
    assert (item.id, item.state, item.attempts) == (first, "new", 0)
    assert item.dedupe_key == "won:batch.1", "so the letter's Message-ID is what it was"
    assert [mail.id for mail in await shop.ledger.outbox.parked(10)] == [last]


async def test_what_is_not_parked_is_left_alone(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.grant(sale, 1, 2)
    new, sent = await shop.ledger.outbox.due(NOW, 10)
    await shop.ledger.outbox.mark_queued([sent.id], NOW)
    await shop.ledger.outbox.mark_sent(sent.id, NOW)
    assert await shop.ledger.outbox.redrive([new.id, sent.id], NOW) == []
    found = [await shop.ledger.outbox.item(item.id) for item in (new, sent)]
    assert [item[0].state for item in found if item] == ["new", "sent"]
