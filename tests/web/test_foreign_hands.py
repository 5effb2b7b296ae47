"""A browser that translates puts elements of its own into the text: what is live stays live."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.web.conftest import Visitors
from tests.web.shop import RIGHT, Shop
from tests.web.steps import HELD, PRIZE, STANDBY, button, press, seconds_left, sees

# What Google Translate does to each text: two <font>s in its place, or around it. Here it ignores
# translate="no", and goes on with every text that appears later.
TRANSLATE = """
(how) => {
  const font = (inside) => {
    const outer = document.createElement("font"), inner = document.createElement("font");
    outer.style.verticalAlign = inner.style.verticalAlign = "inherit";
    outer.append(inner);
    inner.append(inside);
    return outer;
  };
  const one = (text) => {
    const parent = text.parentElement;
    if (!parent || !text.data.trim() || parent.closest("font, script, style, select")) return;
    if (how === "wrap") {
      const outer = font("");
      parent.insertBefore(outer, text);
      outer.firstChild.append(text);
    } else {
      parent.replaceChild(font("~" + text.data), text);
    }
  };
  const all = (root) => {
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT), texts = [];
    while (walker.nextNode()) texts.push(walker.currentNode);
    texts.forEach(one);
  };
  all(document.body);
  if (how !== "once") new MutationObserver((records) => {
    for (const { addedNodes } of records)
      for (const node of addedNodes) node.nodeType === 3 ? one(node) : all(node);
  }).observe(document.body, { childList: true, subtree: true });
}
"""
HOWS = pytest.mark.parametrize("how", ["once", "replace", "wrap"])


def translate(page: Page, how: str) -> None:
    page.evaluate(TRANSLATE, how)


def text_of(page: Page, selector: str) -> str:
    return page.locator(selector).first.inner_text().replace("~", "").strip()


def changes(page: Page, selector: str) -> None:
    """What it shows becomes something else."""
    before = page.locator(selector).first.inner_text()
    expect(page.locator(selector).first).not_to_have_text(before)


@HOWS
def test_the_countdown_goes_on_and_the_sale_opens(shop: Shop, visitors: Visitors, how: str) -> None:
    sale = shop.sale(opens_in_s=30, title="Lamps abroad")
    listed = visitors()
    listed.go("/")
    expect(listed.page.get_by_text("Lamps abroad").first).to_be_visible()
    page = visitors(person=shop.person()).go(f"/sales/{sale}")
    expect(page.get_by_text("Opens in").first).to_be_visible()
    for one in (listed.page, page):
        translate(one, how)
    changes(page, ".countdown-part:last-child b")
    changes(page, ".countdown-part:last-child b")
    changes(listed.page, ".card .digits")
    expect(page.locator(".countdown")).to_have_count(0, timeout=60_000)  # it is open
    page.get_by_role("radio").first.check()
    expect(button(page, "Buy now")).to_be_enabled()


@HOWS
def test_the_deadline_goes_on_to_the_order(shop: Shop, visitors: Visitors, how: str) -> None:
    sale, ada = shop.sale(), shop.person()
    visitor = visitors(person=ada)
    page = visitor.go(f"/sales/{sale}")
    expect(page.get_by_role("radio").first).to_be_visible()
    translate(page, how)
    page.get_by_role("radio", name=RIGHT).check()
    button(page, "Buy now").click()
    sees(page, HELD)
    translate(page, "once")
    before = seconds_left(page)
    changes(page, ".deadline [role=timer]")
    changes(page, ".deadline [role=timer]")
    assert seconds_left(page) < before
    button(page, "more time|longer|minutes").first.click()
    expect(page.locator(".deadline-said")).not_to_be_empty()
    page.get_by_role("textbox", name="Card number").fill("4000000000000002")
    page.get_by_role("textbox", name="Expiry").fill("12/30")
    page.get_by_role("textbox", name="Security code").fill("123")
    for name, text in (("name", "Ada"), ("phone", "+44 20 7946 0000"), ("address", "1 Street")):
        page.locator(f"[name={name}]").fill(text)  # the labels are translated, too
    visitor.expect(402)
    button(page, "Pay ").click()
    expect(page.get_by_text("The card was refused")).to_be_visible()
    page.get_by_role("textbox", name="Card number").fill("4242424242424242")
    button(page, "Pay ").click()
    page.wait_for_url("**/orders/*")
    sees(page, PRIZE)
    expect(page.get_by_text("The card was refused")).to_have_count(0)


@HOWS
def test_the_place_in_line_moves_up_to_a_unit(shop: Shop, visitors: Visitors, how: str) -> None:
    sale = shop.sale(stock=1, standby_limit=5)
    winner, ahead, ada = shop.person(), shop.person(), shop.person()
    assert shop.press(sale, winner) == "held"
    assert shop.press(sale, ahead) == "standby"
    visitor = visitors(person=ada)
    page = visitor.go(f"/sales/{sale}")
    press(page)
    sees(page, STANDBY)
    expect(page.locator("[data-position]")).to_have_text("2")
    translate(page, how)
    shop.give_up(sale, ahead)
    expect(page.locator("[data-position]")).to_have_text(re.compile("^~?1$"))
    shop.give_up(sale, winner)
    sees(page, HELD)
    expect(page.get_by_text(STANDBY)).to_have_count(0)


@HOWS
def test_the_connection_line_says_how_it_is(shop: Shop, visitors: Visitors, how: str) -> None:
    sale = shop.sale()
    visitor = visitors(person=shop.person())
    visitor.expect("INTERNET_DISCONNECTED", "FAILED", "ABORTED")
    page = visitor.go(f"/sales/{sale}")
    expect(page.locator(".connection-live")).to_be_visible()
    translate(page, how)
    live = text_of(page, ".connection")
    visitor.context.set_offline(True)
    expect(page.locator(".connection-live")).to_have_count(0)
    assert text_of(page, ".connection") != live
    visitor.context.set_offline(False)
    expect(page.locator(".connection-live")).to_be_visible()
    assert text_of(page, ".connection") == live


@HOWS
def test_the_control_room_stays_live(shop: Shop, visitors: Visitors, how: str) -> None:
    sale = shop.sale(stock=3)
    visitor = visitors(person=shop.admin)
    page = visitor.go(f"/admin/sales/{sale}")
    expect(page.locator(".tiles")).to_be_visible()
    translate(page, how)
    changes(page, ".clock [role=timer]")
    ledger = page.locator(".ledger, .units, .panel").filter(has_text="Paid").first
    before = ledger.inner_text()
    ada = shop.person()
    assert shop.press(sale, ada) == "held"
    shop.pay(sale, ada)
    expect(ledger).not_to_have_text(before)
    button(page, "Pause").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Pause").click()
    expect(button(page, "Resume").first).to_be_visible()
    expect(page.locator(".clock")).to_contain_text("Paused")


@HOWS
def test_whoever_walks_about_in_translation_meets_no_error(
    shop: Shop, visitors: Visitors, how: str
) -> None:
    """Pages come and go, forms err and are mended; the visitor fails for any exception."""
    shop.sale(title="Lamps to walk by")
    visitor = visitors()
    page = visitor.go("/")
    expect(page.get_by_role("link", name="Lamps to walk by").first).to_be_visible()
    translate(page, how)
    page.locator("header a[href*='sign-in']").first.click()
    for name, others in (("Sign in", 0), ("Sign up", 1)):
        button(page, name).last.click()
        expect(page.locator(".field-error").first).to_be_visible()
        page.get_by_role("textbox", name="E-mail").fill("ada@example.com")
        page.locator("[name=password]").fill("some thing")
        expect(page.locator(".field-error")).to_have_count(others)
        page.locator("form a").last.click()
    page.locator("header a[href='/']").first.click()
    expect(page.get_by_role("link", name="Lamps to walk by").first).to_be_visible()
    settle: Any = page.evaluate("document.querySelectorAll('main h1, main h2, main h3').length")
    assert settle > 0
