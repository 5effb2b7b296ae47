"""What audits remember of a sale: together with the freeze or not at all, until it is forgotten."""

from miaosha.ports.audits import Suspects
from tests.contract.sql.shop import Shop

FIRST = Suspects(frozenset({"I7 row:a.0", "I3 batch:b none"}), 1)
SECOND = Suspects(frozenset({"I7 row:秒殺"}), 2)


async def test_a_freeze_and_what_differed_are_kept_together(shop: Shop) -> None:
    sale, other = await shop.sale(), await shop.sale()
    assert await shop.ledger.audits.suspects(sale) == Suspects()
    assert await shop.ledger.audits.freeze_suspect(sale, 1, "audit: I3, I7", FIRST)
    terms = await shop.terms(sale)
    assert (terms.epoch, terms.frozen) == (2, "audit: I3, I7")
    assert await shop.ledger.audits.suspects(sale) == FIRST
    assert await shop.ledger.audits.suspects(other) == Suspects()
    assert await shop.ledger.audits.freeze_suspect(sale, 2, "audit: I7", SECOND)
    assert await shop.ledger.audits.suspects(sale) == SECOND


async def test_of_a_freeze_that_came_too_late_nothing_is_kept(shop: Shop) -> None:
    sale = await shop.sale()
    assert not await shop.ledger.audits.freeze_suspect(sale, 7, "audit: I7", FIRST)
    assert await shop.ledger.audits.suspects(sale) == Suspects()
    assert (await shop.terms(sale)).frozen is None


async def test_what_is_forgotten_is_gone_and_forgetting_nothing_is_harmless(shop: Shop) -> None:
    sale = await shop.sale()
    await shop.ledger.audits.forget_suspects(sale)
    await shop.ledger.audits.freeze_suspect(sale, 1, "audit: I7", FIRST)
    await shop.ledger.audits.forget_suspects(sale)
    await shop.ledger.audits.forget_suspects(sale)
    assert await shop.ledger.audits.suspects(sale) == Suspects()
    assert (await shop.terms(sale)).frozen == "audit: I7", "that is the rebuild's to end"
