"""What a buyer does on the pages, by the names people see and screen readers say."""

import re

from playwright.sync_api import Locator, Page, expect

from tests.web.shop import HOME, RIGHT

ACCEPTED, REFUSED, REDIRECT = "4242424242424242", "4000000000000002", "4000000000003220"
HELD = "One unit is yours"
STANDBY = "You are on standby"
SOLD_OUT = "Sold out"
EXPIRED = "The time to pay has run out"
PRIZE = "You got it!"
QUEUED = "You are in"
WRONG = "That is not the right answer"


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=re.compile(name))


def buy(page: Page) -> Locator:
    return button(page, "^Buy now")


def heading(page: Page, name: str) -> Locator:
    return page.get_by_role("heading", name=name)


def sees(page: Page, name: str) -> None:
    """A heading that says how the purchase stands."""
    expect(heading(page, name).first).to_be_visible()


def ready(page: Page) -> None:
    """The right answer is chosen, and the button is live."""
    page.get_by_role("radio", name=RIGHT).check()
    expect(buy(page)).to_be_enabled()


def press(page: Page, answer: str = RIGHT) -> None:
    page.get_by_role("radio", name=answer).check()
    buy(page).click()


def fill_delivery(page: Page) -> None:
    for label, field in (("Name", "name"), ("Phone", "phone"), ("Address", "address")):
        box = page.get_by_role("textbox", name=label, exact=True)
        if box.is_visible() and not box.input_value():
            box.fill(HOME[field])


def pay_with(page: Page, card: str) -> None:
    page.get_by_role("textbox", name="Card number").fill(card)
    page.get_by_role("textbox", name="Expiry").fill("12/30")
    page.get_by_role("textbox", name="Security code").fill("123")
    fill_delivery(page)
    button(page, "^Pay \\$").click()


def seconds_left(page: Page) -> int:
    """What the deadline shows, m:ss."""
    text = page.get_by_role("timer").first.inner_text()
    found = re.search(r"(\d+):(\d\d)", text)
    assert found, text
    return int(found[1]) * 60 + int(found[2])
