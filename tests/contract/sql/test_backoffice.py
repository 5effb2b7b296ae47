"""What admins read across buyers: books, milestones, searches, one buyer's rows."""

import pytest

from miaosha.adapters.sql.backoffice import SqlBackoffice
from miaosha.domain.errors import Problem
from miaosha.ports.backoffice import FoundOrder, OrderSearch
from tests.contract.sql.shop import NOW, Shop


async def people(shop: Shop, *emails: str) -> list[int]:
    """Accounts named after the part before the @."""
    named = [(email, email.partition("@")[0].replace(".", " ").title()) for email in emails]
    return await shop.accounts.create_many(named, NOW)


@pytest.fixture
def backoffice(shop: Shop) -> SqlBackoffice:
    return SqlBackoffice(shop.db)


async def test_the_books_of_a_sale_say_what_became_of_its_units(
    shop: Shop, backoffice: SqlBackoffice
) -> None:
    sale = await shop.sale()
    assert (await backoffice.books(sale + 1)) is None
    await shop.grant(sale, 1, 2, 3)
    await shop.grant(sale, 4, 5, promoted=True)
    await shop.pay(1)
    await shop.pay(4)
    await shop.begin(2)
    await shop.ledger.holds.release(sale, ["batch.3"], "declined", NOW)
    books = await backoffice.books(sale)
    assert books is not None
    assert (books.paid, books.paying, books.held, books.declined, books.expired) == (2, 1, 1, 1, 0)
    assert (books.promoted, books.rescued, books.orders) == (2, 1, 2)
    assert sum(books.mails.values()) == len(await shop.mails())
    assert books.verdict == ""


async def test_a_verdict_is_kept_while_the_sale_runs(shop: Shop, backoffice: SqlBackoffice) -> None:
    sale = await shop.sale()
    await shop.ledger.audits.keep_verdict(sale, '{"clean": true}')
    books = await backoffice.books(sale)
    assert books is not None and books.verdict == '{"clean": true}'
    assert await shop.ledger.sales.close(sale, NOW)
    assert await shop.ledger.sales.settle(sale, "the last one", NOW)
    await shop.ledger.audits.keep_verdict(sale, "too late")
    books = await backoffice.books(sale)
    assert books is not None and books.verdict == "the last one"


async def test_when_things_happened(shop: Shop, backoffice: SqlBackoffice) -> None:
    assert await backoffice.milestones(1) is None
    sale = await shop.sale()
    nothing = await backoffice.milestones(sale)
    assert nothing is not None
    assert (nothing.first_hold_at_ms, nothing.buyers, nothing.amount) == (None, 0, 0)
    await shop.grant(sale, 1, 2)
    await shop.grant(sale, 3, promoted=True)
    await shop.pay(1, NOW + 5)
    await shop.pay(3, NOW + 9)
    told = await backoffice.milestones(sale)
    assert told is not None
    assert (told.first_hold_at_ms, told.gone_at_ms, told.last_promoted_at_ms) == (NOW, NOW, NOW)
    assert (told.first_paid_at_ms, told.last_paid_at_ms) == (NOW + 5, NOW + 9)
    assert (told.buyers, told.amount, told.attempts) == (3, 2 * 4_999, {"captured": 2})


async def found(backoffice: SqlBackoffice, search: OrderSearch) -> list[FoundOrder]:
    return (await backoffice.orders(search, None, 10)).items


async def test_orders_are_found_by_whom_and_what(shop: Shop, backoffice: SqlBackoffice) -> None:
    ann, bob = await people(shop, "ann.lee@example.org", "bob_50%@example.org")
    sale, other = await shop.sale(), await shop.sale()
    await shop.grant(sale, ann, bob)
    first, second = await shop.pay(ann, NOW + 1), await shop.pay(bob, NOW + 2)
    for search, orders in (
        (OrderSearch(), [second, first]),
        (OrderSearch(first.order_no.lower()), [first]),
        (OrderSearch("ann.lee@"), [first]),
        (OrderSearch("Ann LEE"), [first]),
        (OrderSearch("%"), [second]),
        (OrderSearch("b_b"), []),
        (OrderSearch(user_id=bob), [second]),
        (OrderSearch(sale_id=sale), [second, first]),
        (OrderSearch(sale_id=other), []),
        (OrderSearch(state="refunded"), []),
        (OrderSearch(from_ms=NOW + 2), [second]),
        (OrderSearch(until_ms=NOW + 2), [first]),
    ):
        assert [order.id for order in await found(backoffice, search)] == [o.id for o in orders], (
            search
        )
    [one] = await found(backoffice, OrderSearch(user_id=ann))
    assert (one.email, one.name, one.sale_title) == ("ann.lee@example.org", "Ann Lee", "A sale")


async def test_found_orders_come_in_pages_with_their_delivery(
    shop: Shop, backoffice: SqlBackoffice
) -> None:
    users = await people(shop, *(f"p{n}@example.org" for n in range(5)))
    sale = await shop.sale()
    await shop.grant(sale, *users)
    for user in users:
        await shop.pay(user)
    seen, cursor = [], None
    while True:
        page = await backoffice.orders(OrderSearch(sale_id=sale), cursor, 2)
        seen += page.items
        if (cursor := page.next_cursor) is None:
            break
    assert len({order.id for order in seen}) == len(seen) == 5
    sent = await backoffice.sent(seen)
    assert [s.order for s in sent] == seen
    assert {(s.to_name, s.phone, s.address) for s in sent} == {
        ("Ann", "+1 555 0100", "1 Main Street")
    }
    with pytest.raises(Problem, match="cursor"):
        await backoffice.orders(OrderSearch(), "x", 2)


async def test_people_are_found_and_named(shop: Shop, backoffice: SqlBackoffice) -> None:
    ids = await people(shop, "ann@example.org", "bea@example.org", "cy@example.org")
    assert [p.id for p in await backoffice.people("", None, 10)] == ids[::-1]
    assert [p.name for p in await backoffice.people("BEA", None, 10)] == ["Bea"]
    assert [p.id for p in await backoffice.people(str(ids[0]), None, 10)] == [ids[0]]
    assert [p.id for p in await backoffice.people("example", ids[2], 1)] == [ids[1]]
    assert await backoffice.names([*ids[:2], 999]) == {ids[0]: "Ann", ids[1]: "Bea"}
    assert await backoffice.names([]) == {}


NAMES = [
    "Élodie Müller",
    "Straße Groß",
    "Ὀδυσσεύς",
    "Юлия",
    "李 小龍",
    "İpek",
    "100%_real\\",
    "Elodie",
]


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("Élodie", ["Élodie Müller"]),
        ("E\u0301lodie", ["Élodie Müller"]),  # decomposed, as macOS types it
        ("éLODIE MÜLLER", ["Élodie Müller"]),
        ("Ｍüller", ["Élodie Müller"]),  # typed in full width
        ("elodie", ["Elodie"]),  # an accent is a letter's own
        ("straße", ["Straße Groß"]),
        ("STRASSE GROSS", ["Straße Groß"]),
        ("ὈΔΥΣΣΕΎΣ", ["Ὀδυσσεύς"]),
        ("юЛИЯ", ["Юлия"]),
        ("小龍", ["李 小龍"]),
        ("İpek", ["İpek"]),
        ("%_", ["100%_real\\"]),
        ("\\", ["100%_real\\"]),
        ("%", ["100%_real\\"]),
        ("_", ["100%_real\\"]),
        ("\0", []),
        ("'; --", []),
    ],
)
async def test_a_name_is_found_however_it_is_typed(
    shop: Shop, backoffice: SqlBackoffice, typed: str, names: list[str]
) -> None:
    ids = await shop.accounts.create_many(
        [(f"n{i}@example.org", name) for i, name in enumerate(NAMES)], NOW
    )
    assert [p.name for p in await backoffice.people(typed, None, 20)] == names
    sale = await shop.sale()
    await shop.grant(sale, *ids)
    for user in ids:
        await shop.pay(user)
    assert [order.name for order in await found(backoffice, OrderSearch(typed))] == names


async def test_numbers_are_found_in_full_width(shop: Shop, backoffice: SqlBackoffice) -> None:
    [ann] = await people(shop, "ann@example.org")
    wide = str.maketrans({ord("0") + n: ord("０") + n for n in range(10)})
    assert [p.id for p in await backoffice.people(str(ann).translate(wide), None, 10)] == [ann]
    await shop.grant(await shop.sale(), ann)
    order = await shop.pay(ann)
    typed = order.order_no.lower().translate(wide)
    assert [o.id for o in await found(backoffice, OrderSearch(typed))] == [order.id]


async def test_everything_about_a_buyer(shop: Shop, backoffice: SqlBackoffice) -> None:
    [ann] = await people(shop, "ann@example.org")
    sale, other = await shop.sale(), await shop.sale()
    await shop.grant(sale, ann, 77)
    await shop.pay(ann, NOW + 3)
    rows = await backoffice.rows(ann, None)
    assert [(h.rid, h.state, h.attempt) for h in rows.holds] == [(f"batch.{ann}", "PAID", 1)]
    assert [(p.state, p.amount) for p in rows.payments] == [("captured", 4_999)]
    assert sorted(mail.event for mail in rows.mails) == ["paid", "won"]
    assert await backoffice.rows(ann, sale) == rows
    assert await backoffice.rows(ann, other) == ([], [], [])
