"""Draws the README's pictures: `make screenshots` runs a demo with a crowd and looks at it.

docs/shop-sale.png the sale page before it opens, docs/control-room.png the control room amid the
rush, docs/shop-order.png the order on a phone.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
from playwright.sync_api import Browser, Page, sync_playwright

from miaosha.trials.sample_sale import QUESTIONS
from tests.kit.running import MIAOSHA, environ, free_port
from tests.kit.waits import eventually
from tests.web.chromium import ADVICE, find
from tests.web.shop import Person
from tests.web.steps import ACCEPTED, PRIZE, button, buy, pay_with, sees
from tests.web.visitor import Visitor

DOCS = Path(__file__).parents[2] / "docs"
CROWD, STOCK, OPENS_IN_S, PAY_WITHIN_S = 3_000, 400, 30, 40
INTO_THE_RUSH_MS = 12_000
HELD_WITHIN_MS = 120_000  # who was too slow gets the unit of somebody who does not pay
# The pages take the system's font; this machine's may be a plain one.
FONT = """
addEventListener("DOMContentLoaded", () => document.documentElement.style.setProperty(
  "--font", "Inter, 'WenQuanYi Zen Hei', system-ui, sans-serif"));
"""


@contextmanager
def demo(home: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """A running demo: its address, and the passwords it printed by role."""
    port = free_port()
    options = f"--crowd {CROWD} --stock {STOCK} --opens-in {OPENS_IN_S} --pay-within {PAY_WITHIN_S}"
    out = home / "out"
    with out.open("w") as log:
        process = subprocess.Popen(
            [MIAOSHA, "demo", "--port", str(port), *options.split()],
            env=environ() | {"COLUMNS": "160"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    found: dict[str, str] = {}

    def told() -> bool:
        assert process.poll() is None, out.read_text()
        found.update(re.findall(r"(admin|buyer)@demo\.example\s+password\s+(\S+)", out.read_text()))
        return len(found) == 2

    try:
        eventually(told, what="the demo's passwords")
        yield f"http://localhost:{port}", found
    finally:
        process.terminate()
        process.wait(60)


def signed_in(url: str, role: str, password: str) -> Person:
    body = {"email": f"{role}@demo.example", "password": password}
    made = httpx2.post(f"{url}/api/v1/sessions", json=body).json()
    user = made["user"]
    return Person(user["id"], user["name"], user["email"], made["access_token"], user["role"])


def draw(browser: Browser, url: str, passwords: dict[str, str]) -> None:
    people = {role: signed_in(url, role, password) for role, password in passwords.items()}
    room = Visitor(browser, url, person=people["admin"], dark=True)
    room.page.set_viewport_size({"width": 1280, "height": 1060})
    desk = Visitor(browser, url, person=people["buyer"])
    phone = Visitor(browser, url, person=people["buyer"], phone=True)
    for visitor in (room, desk, phone):
        visitor.context.add_init_script(FONT)
    room.go("/admin/sales/1")
    choose_rightly(phone.go("/sales/1"))
    page = desk.go("/sales/1")
    page.set_viewport_size({"width": 1280, "height": 960})
    page.get_by_role("radio").first.check()
    page.wait_for_timeout(4_000)  # until most of the crowd watches
    page.screenshot(path=DOCS / "shop-sale.png", animations="disabled")
    desk.close()
    buy(phone.page).click()
    room.page.wait_for_timeout(INTO_THE_RUSH_MS)
    button(room.page, "^Check now$").click()
    room.page.get_by_text("Audit clean").wait_for()
    room.page.mouse.move(0, 0)
    room.page.screenshot(path=DOCS / "control-room.png", animations="disabled")
    button(phone.page, "^Pay ").wait_for(timeout=HELD_WITHIN_MS)
    pay_with(phone.page, ACCEPTED)
    sees(phone.page, PRIZE)
    phone.page.set_viewport_size({"width": 390, "height": 1010})
    phone.page.screenshot(path=DOCS / "shop-order.png", animations="disabled")


def choose_rightly(page: Page) -> None:
    """As somebody who has read the product's page."""
    page.get_by_role("radio").first.wait_for()
    for question in QUESTIONS:
        if page.get_by_text(str(question["text"])).count():
            right = next(c for c in question["choices"] if c["key"] == question["answer"])  # type: ignore[index]
            page.get_by_role("radio", name=str(right["text"])).check()  # type: ignore[index]


def main() -> int:
    path = find()
    if path is None:
        sys.stderr.write(ADVICE + "\n")
        return 1
    with tempfile.TemporaryDirectory(prefix="ms-", dir="/tmp") as name, sync_playwright() as tool:
        browser = tool.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        with demo(Path(name)) as (url, passwords):
            draw(browser, url, passwords)
        browser.close()
    for picture in ("shop-sale", "control-room", "shop-order"):
        sys.stdout.write(f"{DOCS / picture}.png\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
