"""Waiting for a sale and for a verdict: clocks that are wrong, networks that go, other tabs."""

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

import pytest
from playwright.sync_api import WebSocketRoute, expect

from tests.kit.killing import kill
from tests.web.conftest import Visitors
from tests.web.shop import ANSWER, RIGHT, Shop
from tests.web.steps import (
    HELD,
    QUEUED,
    SOLD_OUT,
    STANDBY,
    button,
    buy,
    heading,
    press,
    ready,
    sees,
)
from tests.web.visitor import WAIT_MS, Visitor

PUNCTUAL_MS = 100
ALLOWANCE_MS = 4_900  # a loaded machine renders late; a wrong clock would be off by minutes
OFFLINE_BEFORE_S = 12  # until a page has noticed that nothing answers; tenfold of what it takes
TEN_MINUTES_MS = 600_000
HOUR_MS = 3_600_000
OFFLINE = ("INTERNET_DISCONNECTED", "NETWORK_CHANGED", "NETWORK_IO_SUSPENDED", "TIMED_OUT")
# Resolves to the Unix time at which the button went live, by a clock no page can shift.
WENT_LIVE = """
() => new Promise((resolve) => {
  const look = () => {
    const live = [...document.querySelectorAll("button")].some((button) =>
      button.textContent.trim().startsWith("Buy now") && !button.disabled &&
      button.getAttribute("aria-disabled") !== "true");
    if (live) resolve(performance.timeOrigin + performance.now());
    else setTimeout(look, 4);
  };
  look();
})
"""


def unhurried_s(visitor: Visitor) -> float:
    """Seconds in which a page of this machine is surely there and has reacted."""
    began = monotonic()
    expect(visitor.go("/").get_by_role("heading").first).to_be_visible()
    visitor.at_rest()
    return 1 + 4 * (monotonic() - began)


@contextmanager
def consumer_stopped(shop: Shop) -> Iterator[None]:
    """What is accepted is not decided meanwhile."""
    pid = shop.up.children()["consumer"]
    kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("shift_ms", [TEN_MINUTES_MS, -TEN_MINUTES_MS], ids=["fast", "slow"])
def test_the_button_goes_live_by_the_shops_clock(
    shop: Shop, visitors: Visitors, shift_ms: int
) -> None:
    visitor = visitors(person=shop.person(), shift_ms=shift_ms)
    sale = shop.sale(opens_in_s=2 + unhurried_s(visitor))
    opens_at_ms = shop.call("GET", f"/sales/{sale}")["opens_at_ms"]
    page = visitor.go(f"/sales/{sale}")
    page.get_by_role("radio", name=RIGHT).check()
    expect(buy(page)).to_have_count(0)
    said = re.search(r"within ([\d,]+) ms", page.locator(".countdown-clock").inner_text())
    assert said, "by the shop's clock, and how exactly"
    inexact_ms = int(said[1].replace(",", ""))
    late_ms = page.evaluate(WENT_LIVE) - opens_at_ms
    print(f"the button went live {late_ms:.0f} ms after the shop's clock struck")
    assert -PUNCTUAL_MS - inexact_ms <= late_ms <= PUNCTUAL_MS + ALLOWANCE_MS
    buy(page).click()
    sees(page, HELD)


def test_the_network_goes_and_comes_back_while_waiting(shop: Shop, visitors: Visitors) -> None:
    visitor = visitors(person=shop.person())
    visitor.expect(*OFFLINE)
    sale = shop.sale(opens_in_s=OFFLINE_BEFORE_S + unhurried_s(visitor))
    page = visitor.go(f"/sales/{sale}")
    page.get_by_role("radio", name=RIGHT).check()
    visitor.context.set_offline(True)
    expect(page.get_by_text("No connection").first).to_be_visible()
    before = page.get_by_role("timer").first.inner_text()
    expect(page.get_by_role("timer").first).not_to_have_text(before)  # the countdown goes on
    visitor.context.set_offline(False)
    expect(page.get_by_text("No connection")).to_have_count(0)
    buy(page).click()
    sees(page, HELD)


def test_the_network_goes_and_comes_back_while_queued(shop: Shop, visitors: Visitors) -> None:
    sale = shop.sale()
    visitor = visitors(person=shop.person())
    visitor.expect(*OFFLINE)
    page = visitor.go(f"/sales/{sale}")
    ready(page)
    with consumer_stopped(shop):
        buy(page).click()
        sees(page, QUEUED)
        visitor.context.set_offline(True)
        expect(page.get_by_text("No connection").first).to_be_visible()
    visitor.context.set_offline(False)
    sees(page, HELD)


def test_a_queued_buyer_reloads_and_looks_from_another_device(
    shop: Shop, visitors: Visitors
) -> None:
    sale, ada = shop.sale(), shop.person()
    page = visitors(person=ada).go(f"/sales/{sale}")
    ready(page)
    with consumer_stopped(shop):
        buy(page).click()
        sees(page, QUEUED)
        page.reload()
        sees(page, QUEUED)
        other = visitors(person=ada, phone=True).go(f"/sales/{sale}")
    sees(page, HELD)
    sees(other, HELD)


def test_two_tabs_tell_the_same(shop: Shop, visitors: Visitors) -> None:
    sale, first, ada = shop.sale(stock=1), shop.person(), shop.person()
    assert shop.press(sale, first) == "held"
    visitor = visitors(person=ada)
    page = visitor.go(f"/sales/{sale}")
    other = visitor.open_tab()
    other.goto(f"/sales/{sale}")
    press(page)
    sees(page, STANDBY)
    sees(other, STANDBY)
    shop.give_up(sale, first)
    sees(page, HELD)
    sees(other, HELD)
    button(page, "^Two more minutes$").click()
    expect(button(other, "^Two more minutes$")).to_have_count(0)
    other.goto("/account")
    button(other, "^Sign out$").click()
    expect(heading(page, HELD)).to_have_count(0)


def test_a_socket_that_comes_back_watches_without_asking(shop: Shop, visitors: Visitors) -> None:
    sale, visitor = shop.sale(), visitors(person=shop.person())
    visitor.expect(409)  # a press may meet a publisher that has not heard of the resume
    sockets: list[WebSocketRoute] = []

    def relay(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        sockets.append(socket)
        asks = len(sockets) == 1  # what a later one asks for is not passed on

        def hear(message: str | bytes) -> None:
            if asks or '"watch",' not in str(message):
                server.send(message)

        socket.on_message(hear)

    visitor.context.route_web_socket(re.compile("/socket.io/"), relay)
    page = visitor.go(f"/sales/{sale}")
    ready(page)
    sockets[0].close()
    end = monotonic() + WAIT_MS / 1000
    while len(sockets) < 2:
        assert monotonic() < end, "it does not come back"
        page.wait_for_timeout(50)
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    shop.admin_does(sale, "pause")
    expect(page.get_by_text("The sale is paused").first).to_be_visible()
    shop.admin_does(sale, "resume")
    press(page)
    sees(page, HELD)


def test_without_a_socket_the_page_asks_and_says_so(shop: Shop, visitors: Visitors) -> None:
    sale, first, ada = shop.sale(stock=1), shop.person(), shop.person()
    assert shop.press(sale, first) == "held"
    visitor = visitors(person=ada)
    visitor.expect("FAILED")
    visitor.context.route("**/socket.io/**", lambda route: route.abort())
    visitor.context.route_web_socket(re.compile("/socket.io/"), lambda socket: socket.close())
    page = visitor.go(f"/sales/{sale}")
    expect(page.get_by_text("Live updates are interrupted")).to_be_visible()
    press(page)
    sees(page, STANDBY)
    shop.give_up(sale, first)
    sees(page, HELD)


def test_a_press_is_repeated_while_the_shop_is_too_busy(shop: Shop, visitors: Visitors) -> None:
    sale = shop.sale()
    visitor = visitors(person=shop.person())
    visitor.expect(503)
    busy = {
        "title": "Busy",
        "status": 503,
        "code": "overloaded",
        "detail": "",
        "type": "about:blank",
    }
    visitor.context.route(
        f"**/sales/{sale}/purchases",
        lambda route: route.fulfill(status=503, json=busy, headers={"retry-after": "1"}),
        times=2,
    )
    page = visitor.go(f"/sales/{sale}")
    press(page)
    sees(page, HELD)
    presses = [call for call in visitor.calls if call.endswith(f"{sale}/purchases")]
    assert len(presses) == 3, visitor.calls


def test_a_sale_is_paused_and_goes_on_under_an_open_page(shop: Shop, visitors: Visitors) -> None:
    sale = shop.sale()
    visitor = visitors(person=shop.person())
    visitor.expect(409)  # a publisher may hear of the end of the pause later than the page
    page = visitor.go(f"/sales/{sale}")
    ready(page)
    shop.admin_does(sale, "pause")
    expect(page.get_by_text("The sale is paused").first).to_be_visible()
    shop.admin_does(sale, "resume")
    shop.press(sale, shop.person())  # every part has heard of it
    buy(page).click()
    sees(page, HELD)


def test_a_sale_called_like_its_product_is_named_once(shop: Shop, visitors: Visitors) -> None:
    name = "Singular lamp"
    sale = shop.sale(product_id=shop.product(name), title=name, open_for_s=300)  # so listed early
    page = visitors().go("/")
    for path in ("/", f"/sales/{sale}"):
        page.goto(path)
        expect(page.get_by_text(name, exact=True)).to_have_count(1)
    expect(page.get_by_text("Opened ")).to_be_visible()  # not "Opens": it has
    page = visitors(person=shop.admin).go("/admin/sales")
    expect(page.get_by_text(name, exact=True)).to_have_count(1)


def test_a_phone_in_chinese(shop: Shop, visitors: Visitors) -> None:
    sale = shop.sale()
    visitor = visitors(person=shop.person(), phone=True, locale="zh-TW")
    page = visitor.go(f"/sales/{sale}")
    expect(page.locator("html")).to_have_attribute("lang", "zh-Hant")
    page.get_by_role("radio", name=RIGHT).check()
    visitor.shot("sale-open-phone-zh-Hant")
    page.get_by_role("button", name=re.compile("US\\$4.90|\\$4.90")).click()
    expect(page.get_by_role("textbox", name="卡號")).to_be_visible()
    visitor.shot("held-phone-zh-Hant")
    visitor.fits()
    visitor.accessible()


def test_a_losing_buyer_reads_so_after_a_reload(shop: Shop, visitors: Visitors) -> None:
    sale, ada = shop.sale(stock=1, standby_limit=0), shop.person()
    page = visitors(person=ada).go(f"/sales/{sale}")
    ready(page)
    with consumer_stopped(shop):
        buy(page).click()
        sees(page, QUEUED)
        assert shop.http.post(
            f"/sales/{sale}/purchases", json={"answer": ANSWER}, headers=shop.person().auth
        ).status_code in (202, 410)
        page.reload()
    expect(heading(page, HELD).or_(heading(page, SOLD_OUT)).first).to_be_visible()


def test_a_session_ends_by_the_shops_clock(shop: Shop, visitors: Visitors) -> None:
    ada = shop.person()
    fast = visitors(person=ada, shift_ms=9 * HOUR_MS)  # by this device, it ran out an hour ago
    page = fast.go("/orders")
    expect(heading(page, "No orders yet")).to_be_visible()
    expect(page.get_by_text("Your session has ended")).to_have_count(0)

    late = visitors(person=ada, shift_ms=9 * HOUR_MS)
    in_the_last_minutes = shop.now_ms() + 8 * HOUR_MS - 240_000
    late.context.route(
        "**/api/v1/time", lambda route: route.fulfill(json={"server_time_ms": in_the_last_minutes})
    )
    page = late.go("/orders")
    expect(page.locator(".banners").get_by_text("You will be signed out in")).to_be_visible()
    expect(page.get_by_role("status").filter(has_text="signed out in")).to_have_count(1)


def test_a_socket_that_outlives_the_networks_absence_is_live(
    shop: Shop, visitors: Visitors
) -> None:
    page = visitors(person=shop.person()).go(f"/sales/{shop.sale()}")
    expect(page.locator(".connection-live")).to_be_visible()
    page.evaluate('dispatchEvent(new Event("offline"))')
    expect(page.get_by_text("No connection").first).to_be_visible()
    page.evaluate('dispatchEvent(new Event("online"))')
    expect(page.locator(".connection-live")).to_be_visible()
