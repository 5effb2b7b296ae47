"""Every page once, light and dark, on a phone and on a desktop: pictures to look at, axe-core
without findings, and nothing wider than the screen.
"""

import pytest
from playwright.sync_api import expect

from tests.web.conftest import Visitors
from tests.web.shop import Shop
from tests.web.steps import (
    HELD,
    PRIZE,
    REDIRECT,
    STANDBY,
    button,
    buy,
    pay_with,
    press,
    ready,
    sees,
)


def test_pages_anyone_sees(shop: Shop, visitors: Visitors) -> None:
    sale = shop.sale(opens_in_s=3_700, title="Forty moon lamps at a tenth of the price", stock=40)
    shop.sale(stock=3)
    visitor = visitors()
    visitor.expect(404)
    for path, name in (
        ("/", "home"),
        (f"/sales/{sale}", "before"),
        ("/sign-in", "sign-in"),
        ("/sign-up", "sign-up"),
        ("/nowhere", "not-found"),
        ("/offline.html", "offline"),
        ("/unavailable.html", "unavailable"),
    ):
        page = visitor.go(path)
        expect(page.get_by_role("heading").first).to_be_visible()
        visitor.at_rest()
        visitor.in_both_schemes(name)


def test_pages_of_a_buyer(shop: Shop, visitors: Visitors) -> None:
    sale, ada = shop.sale(stock=1, title="One last moon lamp"), shop.person()
    visitor = visitors(person=ada)
    page = visitor.go(f"/sales/{sale}")
    ready(page)
    visitor.in_both_schemes("open")
    buy(page).click()
    sees(page, HELD)
    visitor.in_both_schemes("held")
    button(page, "^Give up this unit$").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    visitor.in_both_schemes("dialog")
    page.keyboard.press("Escape")
    pay_with(page, REDIRECT)
    expect(button(page, "^Approve$")).to_be_visible()
    visitor.in_both_schemes("bank")
    button(page, "^Approve$").click()
    sees(page, PRIZE)
    visitor.in_both_schemes("order")
    for path, name in ((f"/sales/{sale}", "paid"), ("/orders", "orders"), ("/account", "account")):
        visitor.go(path)
        expect(page.get_by_role("heading").first).to_be_visible()
        visitor.at_rest()
        visitor.in_both_schemes(name)


def test_pages_of_one_who_waits_or_loses(shop: Shop, visitors: Visitors) -> None:
    sale = shop.sale(stock=1, standby_limit=1)
    assert shop.press(sale, shop.person()) == "held"
    visitor = visitors(person=shop.person())
    page = visitor.go(f"/sales/{sale}")
    press(page)
    sees(page, STANDBY)
    expect(page.get_by_text("Your place in line")).to_be_visible()
    visitor.in_both_schemes("standby")
    loser = visitors(person=shop.person())
    loser.expect(410)
    loser.go(f"/sales/{sale}")
    expect(loser.page.get_by_text("Sold out").first).to_be_visible()
    loser.in_both_schemes("sold-out")


def test_the_keyboard_alone_buys(shop: Shop, visitors: Visitors) -> None:
    sale, ada = shop.sale(), shop.person()
    page = visitors(person=ada).go(f"/sales/{sale}")
    expect(page.get_by_role("radio").first).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    for _ in range(40):
        if page.evaluate("document.activeElement?.type") == "radio":
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(page.get_by_role("radio").first).to_be_checked()
    for _ in range(10):
        page.keyboard.press("Tab")
        if "Buy now" in page.evaluate("document.activeElement?.textContent"):
            break
    page.keyboard.press("Enter")
    sees(page, HELD)
    expect(page.locator(".panel")).to_be_focused()  # the button it was on is gone
    give_up = button(page, "^Give up this unit$")
    give_up.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Enter")
    expect(give_up).to_be_focused()
    page.get_by_role("link", name="My orders").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/orders")
    expect(page.locator("#content")).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_scheme_can_be_chosen_against_the_system(visitors: Visitors, scheme: str) -> None:
    visitor = visitors(dark=scheme == "light")
    page = visitor.go("/")
    expect(page.get_by_role("heading").first).to_be_visible()
    menu = page.get_by_role("combobox", name="Colours").first
    menu.select_option(label=scheme.capitalize())
    expect(page.locator("html")).to_have_attribute("data-theme", scheme)
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", scheme)


def test_the_front_page_asks_once(shop: Shop, visitors: Visitors) -> None:
    titles = [f"The {nth} of two that run" for nth in ("first", "second")]
    for title in titles:
        shop.sale(title=title)
    visitor = visitors()
    page = visitor.go("/")
    for title in titles:
        expect(page.get_by_role("link", name=title)).to_be_visible()
    visitor.at_rest()
    assert visitor.calls.count("GET /api/v1/sales") == 1, visitor.calls


def test_a_page_whose_code_does_not_come_is_loaded_anew(shop: Shop, visitors: Visitors) -> None:
    visitor = visitors(person=shop.admin)
    visitor.expect("FAILED")
    page = visitor.go("/")
    console = page.get_by_role("link", name="Console", exact=True)
    expect(console).to_be_visible()
    visitor.at_rest()
    visitor.context.route("**/assets/**", lambda route: route.abort())
    console.click()
    expect(page.get_by_role("heading", name="Back in a moment")).to_be_visible()
    visitor.context.unroute("**/assets/**")
    expect(page.get_by_role("heading", name="Sales")).to_be_visible()
