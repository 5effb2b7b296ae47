"""The API's page: Swagger UI shows the whole document within the pages' policy, light and dark."""

import httpx2
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.web.conftest import Visitors
from tests.web.shop import Shop
from tests.web.visitor import NARROW, WCAG

LIGHTNESS = "getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/g).map(Number)"


def opened(page: Page, path: str) -> Locator:
    """The first request of this path, with its details."""
    request = page.locator(".opblock").filter(has=page.get_by_text(path, exact=True)).first
    request.get_by_role("button").first.click()
    return request


@pytest.mark.parametrize("dark", [False, True])
def test_the_page_shows_the_document_and_tries_it(
    shop: Shop, visitors: Visitors, dark: bool
) -> None:
    paths = httpx2.get(f"{shop.url}/api/docs/openapi.json").json()["paths"]
    visitor = visitors(dark=dark)
    page = visitor.go("/api/docs")
    expect(page.get_by_role("heading", name="Miaosha")).to_be_visible()
    expect(page.locator(".opblock")).to_have_count(sum(len(methods) for methods in paths.values()))
    red, green, blue, *opaque = page.evaluate(LIGHTNESS)
    assert (opaque != [0] and max(red, green, blue) < 64) == dark
    visitor.accessible("the list of requests", WCAG)
    expect(opened(page, "/api/v1/accounts").get_by_text("email_taken").first).to_be_visible()
    visitor.accessible("one request", WCAG)
    visitor.shot(f"api-docs-{'dark' if dark else 'light'}", whole=False)
    time = opened(page, "/api/v1/time")
    time.get_by_role("button", name="Try it out").click()
    time.get_by_role("button", name="Execute").click()
    expect(time.locator(".live-responses-table").get_by_text("server_time_ms")).to_be_visible()
    page.set_viewport_size(NARROW)  # type: ignore[arg-type]
    visitor.fits()
