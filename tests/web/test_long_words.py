"""One long word in each field a person can type does not make a page of 320 px scroll sideways."""

from typing import Any

from playwright.sync_api import Page, expect

from tests.web.conftest import Visitors
from tests.web.shop import PICTURE, Shop
from tests.web.steps import HELD, PRIZE, button, ready, sees
from tests.web.visitor import NARROW, Visitor

WORD = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 3
YEAR_MS = 366 * 86_400_000


def long(length: int) -> str:
    return WORD[:length]


def narrow(visitor: Visitor) -> Page:
    visitor.page.set_viewport_size(NARROW)  # type: ignore[arg-type]
    return visitor.page


def fits(visitor: Visitor, name: str) -> None:
    # not at_rest: pictures far below are not loaded before somebody scrolls there
    expect(visitor.page.locator("[aria-busy=true]")).to_have_count(0)
    expect(visitor.page.get_by_text("Loading…")).to_have_count(0)
    visitor.shot(f"long-{name}")
    visitor.fits()


def questions() -> list[dict[str, Any]]:
    choices = [{"key": "a", "text": "The moon"}, {"key": "b", "text": long(200)}]
    return [{"text": long(240), "choices": choices, "answer": "a"}]


def product(shop: Shop) -> int:
    body = {
        "name": long(200),
        "description": f"{long(200)}\n{long(100)}",
        "list_price": {"amount": 999_999_999_999, "currency": "TWD"},
    }
    made = int(shop.call("POST", "/admin/products", shop.admin, body)["id"])
    headers = shop.admin.auth | {"content-type": "image/jpeg"}
    path = f"/admin/products/{made}/picture"
    assert shop.http.put(path, content=PICTURE.read_bytes(), headers=headers).is_success
    return made


def test_the_shop_with_long_words(shop: Shop, visitors: Visitors) -> None:
    ada = shop.person(long(80))
    terms: dict[str, Any] = {
        "product_id": product(shop),
        "title": long(200),
        "questions": questions(),
        "price": {"amount": 1_234_567, "currency": "TWD"},
    }
    coming = shop.sale(opens_in_s=3_600, **terms)
    sale = shop.sale(**terms)
    visitor = visitors(person=ada)
    page = narrow(visitor)
    visitor.go("/")
    expect(page.get_by_role("link", name=long(200)).first).to_be_visible()
    fits(visitor, "home")
    visitor.go(f"/sales/{coming}")
    expect(page.get_by_text("Opens in").first).to_be_visible()
    fits(visitor, "before")
    visitor.go(f"/sales/{sale}")
    ready(page)
    fits(visitor, "open")
    button(page, "^Buy now").click()
    sees(page, HELD)
    page.get_by_role("textbox", name="Name", exact=True).fill(long(120))
    page.get_by_role("textbox", name="Address", exact=True).fill(long(500))
    page.get_by_role("textbox", name="Phone", exact=True).fill("0" * 40)
    fits(visitor, "held")
    page.get_by_role("textbox", name="Card number").fill("4242424242424242")
    page.get_by_role("textbox", name="Expiry").fill("12/30")
    page.get_by_role("textbox", name="Security code").fill("123")
    button(page, "^Pay ").click()
    sees(page, PRIZE)
    fits(visitor, "order")
    for path in ("/orders", "/account", f"/sales/{sale}"):
        visitor.go(path)
        expect(page.get_by_role("heading").first).to_be_visible()
        fits(visitor, path.split("/")[1] or "home")
    for path in ("/sign-in", "/sign-up"):
        stranger = visitors()
        form = narrow(stranger)
        stranger.go(path)
        form.get_by_role("textbox", name="E-mail").fill(f"{long(200)}@")
        form.get_by_label("Password", exact=True).fill(long(200))
        form.get_by_label("Show password").check()
        button(form, "^Sign (in|up)$").click()
        expect(form.get_by_text("An e-mail address is like")).to_be_visible()
        fits(stranger, path[1:])


def test_the_console_with_long_words(shop: Shop, visitors: Visitors) -> None:
    ada, made = shop.person(long(80)), product(shop)
    terms: dict[str, Any] = {"product_id": made, "title": long(200), "questions": questions()}
    sale = shop.sale(**terms)
    draft = shop.sale(publish=False, **terms)
    assert shop.press(sale, ada) == "held"
    shop.pay(sale, ada)
    visitor = visitors(person=shop.admin)
    page = narrow(visitor)
    for path, name in (
        ("/admin/sales", "sales"),
        (f"/admin/sales/{sale}", "room"),
        (f"/admin/sales/{sale}/report", "report"),
        (f"/admin/sales/{sale}/edit", "terms"),
        (f"/admin/sales/{draft}/edit", "draft"),
        ("/admin/products", "products"),
        (f"/admin/products/{made}", "product"),
        ("/admin/orders", "admin-orders"),
        ("/admin/people", "people"),
        (f"/admin/people/{ada.id}", "story"),
        ("/admin/trail", "trail"),
    ):
        visitor.go(path)
        expect(page.get_by_role("heading").first).to_be_visible()
        fits(visitor, name)
    visitor.go("/admin/orders")
    button(page, "^Delivery of order").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Show").click()
    fits(visitor, "delivery")
    visitor.go(f"/admin/sales/{sale}")
    button(page, "^Close").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    fits(visitor, "lever")


def test_a_sale_of_next_year_says_so(shop: Shop, visitors: Visitors) -> None:
    sale = shop.sale(opens_in_s=YEAR_MS / 1000, title="Lamps of next year")
    year = str((shop.now_ms() + YEAR_MS) // 31_556_952_000 + 1970)
    visitor = visitors()
    for path in ("/", f"/sales/{sale}"):
        page = visitor.go(path)
        expect(page.get_by_text("Lamps of next year").first).to_be_visible()
        shown = page.locator(".card", has_text="Lamps of next year") if path == "/" else page
        expect(shown.get_by_text(year).first).to_be_visible()
