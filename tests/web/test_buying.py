"""The whole life of a purchase in a browser, from signing up to the order, and its other ends."""

import re

from playwright.sync_api import expect

from tests.web.conftest import Visitors
from tests.web.shop import PASSWORD, WRONG, Shop
from tests.web.steps import (
    ACCEPTED,
    EXPIRED,
    HELD,
    PRIZE,
    REDIRECT,
    REFUSED,
    SOLD_OUT,
    STANDBY,
    button,
    buy,
    fill_delivery,
    heading,
    pay_with,
    press,
    ready,
    seconds_left,
    sees,
)
from tests.web.steps import WRONG as WRONG_SAYS


def test_from_signing_up_to_the_order(shop: Shop, visitors: Visitors) -> None:
    sale = shop.sale(stock=2, opens_in_s=12, title="The lamps of this test")
    visitor = visitors()
    visitor.expect(402, 403)
    page = visitor.go("/")
    page.get_by_role("link", name="The lamps of this test").click()
    page.wait_for_url(f"**/sales/{sale}")
    page.get_by_role("link", name="Sign up").first.click()
    page.get_by_role("textbox", name="Name", exact=True).fill("Ada Lovelace")
    page.get_by_role("textbox", name="E-mail").fill("ada@example.com")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    button(page, "^Sign up$").click()
    page.wait_for_url(f"**/sales/{sale}")  # back where we came from

    page.reload()
    expect(page.get_by_text("Opens in").first).to_be_visible()
    page.get_by_role("radio", name=WRONG).check()
    buy(page).click()  # waits until it is live, without a reload
    expect(page.get_by_text(WRONG_SAYS)).to_be_visible()
    press(page)
    sees(page, HELD)
    page.reload()
    sees(page, HELD)

    pay_with(page, REFUSED)
    expect(page.get_by_text("The card was refused")).to_be_visible()
    page.reload()
    sees(page, HELD)
    pay_with(page, REDIRECT)
    button(page, "^Approve$").click()
    page.wait_for_url("**/orders/*")
    sees(page, PRIZE)
    page.reload()
    sees(page, PRIZE)
    page.goto(f"/sales/{sale}")
    sees(page, "It is yours")
    page.goto("/orders")
    expect(page.get_by_role("link", name="Moon lamp").first).to_be_visible()
    shop.audit(sale)


def test_a_bank_that_says_no_gives_the_unit_back_to_the_buyer(
    shop: Shop, visitors: Visitors
) -> None:
    sale, ada = shop.sale(), shop.person()
    page = visitors(person=ada, phone=True).go(f"/sales/{sale}")
    press(page)
    sees(page, HELD)
    pay_with(page, REDIRECT)
    button(page, "^Refuse$").click()
    page.wait_for_url(f"**/sales/{sale}*")
    sees(page, HELD)
    expect(page.get_by_text("did not confirm")).to_be_visible()
    pay_with(page, ACCEPTED)
    page.wait_for_url("**/orders/*")
    assert shop.mine(sale, ada)["state"] == "paid"


def test_fields_are_judged_one_by_one_before_anything_is_sent(
    shop: Shop, visitors: Visitors
) -> None:
    sale, ada = shop.sale(), shop.person()
    assert shop.press(sale, ada) == "held"
    visitor = visitors(person=ada)
    page = visitor.go(f"/sales/{sale}")
    sees(page, HELD)
    page.get_by_role("textbox", name="Card number").fill("1234")
    fill_delivery(page)
    button(page, "^Pay \\$").click()
    expect(page.get_by_text("Please check the card number")).to_be_visible()
    card = page.get_by_role("textbox", name="Card number")
    expect(card).to_have_attribute("aria-invalid", "true")
    expect(card).to_be_focused()
    assert not [call for call in visitor.calls if "checkout" in call]


def test_what_people_type_is_taken_for_what_it_means(shop: Shop, visitors: Visitors) -> None:
    """Key by key where a mask writes along, and pasted where a mask might cut."""
    sale, ada = shop.sale(), shop.person()
    assert shop.press(sale, ada) == "held"
    page = visitors(person=ada).go(f"/sales/{sale}")
    sees(page, HELD)
    card = page.get_by_role("textbox", name="Card number")
    card.press_sequentially("４２４２4242-4242 4242")
    expect(card).to_have_value("4242 4242 4242 4242")
    expiry = page.get_by_role("textbox", name="Expiry")
    for typed, shown in (
        ("1/30", "01/30"),
        ("130", "01/30"),
        ("0130", "01/30"),
        ("12/30", "12/30"),
    ):
        expiry.fill("")
        expiry.press_sequentially(typed)
        expect(expiry).to_have_value(shown)
    expiry.fill("")
    expiry.press_sequentially("12/2030")
    expect(expiry).to_have_value("12/2030")
    page.get_by_role("textbox", name="Security code").fill("１２３")
    page.get_by_role("textbox", name="Name", exact=True).fill("Ada")
    phone = "\u202a+886\u00a02 2345–6789 ext. 12\u202c"
    page.get_by_role("textbox", name="Phone", exact=True).fill(phone)
    page.get_by_role("textbox", name="Address", exact=True).fill("１２３４５ Taipei")
    button(page, "^Pay \\$").click()
    page.wait_for_url("**/orders/*")
    order = page.url.rpartition("/")[2].partition("?")[0]
    sent = shop.call("GET", f"/admin/orders/{order}/delivery", shop.admin)
    assert sent["phone"] == "+886 2 2345-6789 #12"


def test_a_double_click_pays_once(shop: Shop, visitors: Visitors) -> None:
    sale, ada = shop.sale(), shop.person()
    assert shop.press(sale, ada) == "held"
    visitor = visitors(person=ada)
    page = visitor.go(f"/sales/{sale}")
    pay_with_double_click = button(page, "^Pay \\$")
    page.get_by_role("textbox", name="Card number").fill(ACCEPTED)
    page.get_by_role("textbox", name="Expiry").fill("12/30")
    page.get_by_role("textbox", name="Security code").fill("123")
    fill_delivery(page)
    pay_with_double_click.dblclick()
    page.wait_for_url("**/orders/*")
    assert len([call for call in visitor.calls if "checkout" in call]) == 1
    orders = shop.call("GET", "/orders", ada)["items"]
    assert len(orders) == 1


def test_standby_is_promoted_while_the_page_is_open(shop: Shop, visitors: Visitors) -> None:
    sale, first, ada = shop.sale(stock=1), shop.person(), shop.person()
    assert shop.press(sale, first) == "held"
    page = visitors(person=ada).go(f"/sales/{sale}")
    press(page)
    sees(page, STANDBY)
    expect(page.get_by_text("Your place in line")).to_be_visible()
    page.reload()
    sees(page, STANDBY)
    shop.give_up(sale, first)
    sees(page, HELD)
    pay_with(page, ACCEPTED)
    page.wait_for_url("**/orders/*")
    shop.audit(sale)


def test_a_deadline_that_passes_while_the_page_is_open(shop: Shop, visitors: Visitors) -> None:
    sale, ada = shop.sale(stock=1, pay_within_s=8), shop.person()
    page = visitors(person=ada).go(f"/sales/{sale}")
    press(page)
    sees(page, HELD)
    expect(page.get_by_text("Less than 20 seconds left")).to_be_visible()
    sees(page, EXPIRED)
    expect(page.get_by_text("You can press again")).to_be_visible()
    press(page)
    sees(page, HELD)


def test_the_deadline_is_moved_once_with_one_tap(shop: Shop, visitors: Visitors) -> None:
    sale, ada = shop.sale(pay_within_s=90), shop.person()
    assert shop.press(sale, ada) == "held"
    visitor = visitors(person=ada)
    page = visitor.go(f"/sales/{sale}")
    sees(page, HELD)
    assert seconds_left(page) <= 90
    button(page, "^Two more minutes$").click()
    expect(page.get_by_text("You have two more minutes")).to_be_visible()
    more_than_two_minutes = re.compile(r"\b[23]:\d\d")
    expect(page.get_by_role("timer").first).to_contain_text(more_than_two_minutes)
    expect(button(page, "^Two more minutes$")).to_have_count(0)
    page.reload()
    sees(page, HELD)
    expect(page.get_by_role("timer").first).to_contain_text(more_than_two_minutes)
    expect(button(page, "^Two more minutes$")).to_have_count(0)
    assert shop.mine(sale, ada)["extended"]
    pay_with(page, ACCEPTED)
    page.wait_for_url("**/orders/*")


def test_giving_up_is_asked_twice(shop: Shop, visitors: Visitors) -> None:
    sale, ada = shop.sale(stock=1), shop.person()
    assert shop.press(sale, ada) == "held"
    page = visitors(person=ada, phone=True).go(f"/sales/{sale}")
    button(page, "^Give up this unit$").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    sees(page, HELD)
    button(page, "^Give up this unit$").click()
    page.get_by_role("dialog").get_by_role("button", name="Give up this unit").click()
    sees(page, "You gave up your unit")
    assert shop.mine(sale, ada)["state"] == "declined"


def test_losing_costs_at_most_four_calls(shop: Shop, visitors: Visitors) -> None:
    for _ in range(3):
        calls = calls_of_a_loser(shop, visitors)
        if not any(call.endswith("/time") for call in calls):
            break  # else its socket came so late that it asked by itself
    assert len(calls) <= 4, calls


def calls_of_a_loser(shop: Shop, visitors: Visitors) -> list[str]:
    """What the page of somebody who comes too late asks from its load to the verdict."""
    sale, ada = shop.sale(stock=1, standby_limit=0), shop.person()
    visitor = visitors(person=ada)
    visitor.expect(410)
    page = visitor.go(f"/sales/{sale}")
    ready(page)
    assert shop.press(sale, shop.person()) == "held"  # the page has not heard of it yet, or has
    buy(page).evaluate_all("(found) => found[0]?.click()")
    expect(
        heading(page, SOLD_OUT).or_(page.get_by_text("Everything is sold")).first
    ).to_be_visible()
    return visitor.calls
