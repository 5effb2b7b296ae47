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

from tests.e2e.running import MIAOSHA, environ, eventually, free_port
from tests.web.chromium import ADVICE, find
from tests.web.shop import Person
from tests.web.steps import ACCEPTED, PRIZE, button, buy, pay_with, sees
from tests.web.visitor import Visitor

DOCS = Path(__file__).parents[2] / "docs"
CROWD, STOCK, OPENS_IN_S, PAY_WITHIN_S = 3_000, 400, 30, 40
INTO_THE_RUSH_MS = 6_000
FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><include>/etc/fonts/fonts.conf</include>
<match target="pattern"><test name="family"><string>system-ui</string></test>
<edit name="family" mode="prepend" binding="strong"><string>Inter</string></edit></match>
</fontconfig>
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
        eventually("the demo's passwords", told)
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
    room.page.set_viewport_size({"width": 1280, "height": 1000})
    room.go("/admin/sales/1")
    desk = Visitor(browser, url, person=people["buyer"])
    phone = Visitor(browser, url, person=people["buyer"], phone=True)
    phone.go("/sales/1").get_by_role("radio").first.check()
    page = desk.go("/sales/1")
    page.get_by_role("radio").nth(1).check()
    page.wait_for_timeout(4_000)  # until most of the crowd watches
    page.screenshot(path=DOCS / "shop-sale.png", animations="disabled")
    desk.close()
    answer_rightly(phone.page)
    room.page.wait_for_timeout(INTO_THE_RUSH_MS)
    room.page.screenshot(path=DOCS / "control-room.png", animations="disabled")
    phone.page.screenshot(path=DOCS / "shop-order.png", animations="disabled")


def answer_rightly(page: Page) -> None:
    """The demo's questions have three choices; a wrong one may be corrected."""
    choices = page.get_by_role("radio")
    buy(page).wait_for()
    for n in range(choices.count()):
        choices.nth(n).check()
        buy(page).click()
        page.get_by_text("not the right answer").or_(button(page, "^Pay ")).first.wait_for()
        if button(page, "^Pay ").is_visible():
            break
    pay_with(page, ACCEPTED)
    sees(page, PRIZE)


def main() -> int:
    path = find()
    if path is None:
        sys.stderr.write(ADVICE + "\n")
        return 1
    with tempfile.TemporaryDirectory(prefix="ms-", dir="/tmp") as name, sync_playwright() as tool:
        fonts = Path(name) / "fonts.conf"
        fonts.write_text(FONTS)
        browser = tool.chromium.launch(
            executable_path=path,
            args=["--no-sandbox", "--disable-dev-shm-usage"],
            env={**environ(), "FONTCONFIG_FILE": str(fonts)},
        )
        with demo(Path(name)) as (url, passwords):
            draw(browser, url, passwords)
        browser.close()
    for picture in ("shop-sale", "control-room", "shop-order"):
        sys.stdout.write(f"{DOCS / picture}.png\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
