"""One platform and one browser for the folder; each test has its own sales, people and windows."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.kit.running import running
from tests.web.chromium import ADVICE, find
from tests.web.shop import Shop
from tests.web.visitor import SHOTS, WAIT_MS, Visitor

Visitors = Callable[..., Visitor]
SETTINGS = {"extend_by_s": "120", "log_level": "warning"}


@pytest.fixture(scope="package")
def shop() -> Iterator[Shop]:
    with (
        tempfile.TemporaryDirectory(prefix="ms-", dir="/tmp") as home,
        running(Path(home), settings=SETTINGS) as up,
    ):
        shop = Shop(up)
        yield shop
        shop.http.close()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = find()
    assert path is not None, ADVICE
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--font-render-hinting=none"]
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def visitors(shop: Shop, browser: Browser, request: pytest.FixtureRequest) -> Iterator[Visitors]:
    """Opens windows, and fails the test for whatever went wrong in one."""
    opened: list[Visitor] = []

    def visitor(**options: object) -> Visitor:
        opened.append(Visitor(browser, shop.url, **options))  # type: ignore[arg-type]
        return opened[-1]

    yield visitor
    problems = [problem for one in opened for problem in one.problems]
    for one in opened:
        one.close()
    assert not problems, "\n".join(problems)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if SHOTS.exists():
        terminalreporter.write_line(f"screenshots: {SHOTS}")
