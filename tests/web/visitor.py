"""A person at a browser: a page that remembers everything that went wrong in it.

A console error, an uncaught exception, a violated content security policy or an answer of 500 and
above fails the test that did not say it expects one.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    expect,
)

from tests.web.shop import Person

SHOTS = Path(__file__).parent / "shots"
PHONE = {"width": 390, "height": 844}
NARROW = {"width": 320, "height": 640}  # what WCAG 1.4.10 asks for
ONE_LINE_PX = 48
DESKTOP = {"width": 1280, "height": 900}
WAIT_MS = 30_000
PICTURES_S = 30.0
WCAG = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
RULES = (*WCAG, "best-practice")
SESSION_KEY = "miaosha.session"
FAILED_LOAD = re.compile(
    r"(?:Failed to load resource|WebSocket connection to).*(status of (\d+)|net::ERR_(\w+))"
)
SHIFT_CLOCK = """
(() => {
  const Real = Date, shift = %d;
  class Shifted extends Real {
    constructor(...given) { given.length ? super(...given) : super(Real.now() + shift); }
    static now() { return Real.now() + shift; }
  }
  globalThis.Date = Shifted;
})();
"""
BROKEN_WORDS = """
() => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), broken = [];
  while (walker.nextNode()) {
    const text = walker.currentNode;
    for (const word of text.data.matchAll(/(?<=^|\\s)[A-Za-z]{2,12}(?=$|[\\s,:;!?])/g)) {
      const range = document.createRange();
      range.setStart(text, word.index);
      range.setEnd(text, word.index + word[0].length);
      const tops = new Set([...range.getClientRects()].map((rect) => Math.round(rect.top)));
      if (tops.size > 1) broken.push(word[0]);
    }
  }
  return broken;
}
"""
WATCH_POLICY = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`));
"""


class Visitor:
    """Args:
    shift_ms: how wrong the device's clock is.
    person: already signed in.
    """

    def __init__(
        self,
        browser: Browser,
        url: str,
        *,
        person: Person | None = None,
        phone: bool = False,
        locale: str = "en-GB",
        dark: bool = False,
        shift_ms: int = 0,
        reduced_motion: bool = True,
    ) -> None:
        self.url = url
        self.context: BrowserContext = browser.new_context(
            base_url=url,
            viewport=PHONE if phone else DESKTOP,  # type: ignore[arg-type]
            device_scale_factor=2 if phone else 1,
            has_touch=phone,
            is_mobile=phone,
            locale=locale,
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce" if reduced_motion else "no-preference",
            timezone_id="Asia/Taipei",
            storage_state=self._stored(person),
        )
        self.context.set_default_timeout(WAIT_MS)
        self.context.add_init_script(WATCH_POLICY)
        if shift_ms:
            self.context.add_init_script(SHIFT_CLOCK % shift_ms)
        self.problems: list[str] = []
        self.expected: set[str] = set()
        self.calls: list[str] = []
        self.page = self.open_tab()

    def _stored(self, person: Person | None) -> Any:
        if person is None:
            return None
        session = {"name": SESSION_KEY, "value": json.dumps(person.session)}
        return {"cookies": [], "origins": [{"origin": self.url, "localStorage": [session]}]}

    def open_tab(self) -> Page:
        page = self.context.new_page()
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.problems.append(f"uncaught: {error}"))
        page.on("request", self._asked)
        page.on("response", self._answered)
        return page

    def _said(self, message: ConsoleMessage) -> None:
        text = message.text
        failed = FAILED_LOAD.match(text)
        if failed and {failed[2], failed[3]} & self.expected:
            return
        if message.type == "error" or "Content Security Policy" in text:
            self.problems.append(f"console: {text} ({message.location['url']})")

    def _asked(self, request: Request) -> None:
        path = request.url.removeprefix(self.url)
        if path.startswith("/api/"):
            self.calls.append(f"{request.method} {path}")

    def _answered(self, response: Response) -> None:
        if response.status >= 500 and str(response.status) not in self.expected:
            self.problems.append(f"{response.status} {response.url}")

    def expect(self, *statuses: int | str) -> None:
        """These answers, and errors of the network by Chromium's name, are no problem."""
        self.expected |= {str(status) for status in statuses}

    def go(self, path: str) -> Page:
        self.page.goto(path)
        return self.page

    def at_rest(self) -> None:
        """Nothing is being loaded, and every picture is there."""
        expect(self.page.locator("[aria-busy=true]")).to_have_count(0)
        expect(self.page.get_by_text("Loading…")).to_have_count(0)
        # Not wait_for_function: it asks again by eval in the page, which the CSP forbids.
        unfinished = "[...document.images].filter((image) => !image.complete).length"
        deadline = monotonic() + PICTURES_S
        while self.page.evaluate(unfinished):
            assert monotonic() < deadline, "pictures are still being loaded"
            self.page.wait_for_timeout(50)

    def shot(self, name: str, *, whole: bool = True) -> None:
        """Keep a picture of the page as it is."""
        SHOTS.mkdir(exist_ok=True)
        self.page.evaluate("scrollTo(0, 0)")  # a whole page is drawn from where it is scrolled to
        self.page.screenshot(path=SHOTS / f"{name}.png", full_page=whole, animations="disabled")

    def in_both_schemes(self, name: str) -> None:
        """Pictures of the page, light and dark, phone and desktop; axe-core judges each scheme and
        each layout once. At 320 px nothing sticks out."""
        size = self.page.viewport_size
        for scheme in ("light", "dark"):
            self.page.emulate_media(color_scheme=scheme)
            for device, viewport in (("desktop", DESKTOP), ("phone", PHONE)):
                self.page.set_viewport_size(viewport)  # type: ignore[arg-type]
                self.shot(f"{name}-{device}-{scheme}")
                self.fits()
                if (device, scheme) in (("desktop", "light"), ("phone", "dark")):
                    self.accessible(f"{name} {device} {scheme}")
        self.page.emulate_media(color_scheme="null")
        self.page.set_viewport_size(NARROW)  # type: ignore[arg-type]
        self.fits()
        parts: list[int] = self.page.evaluate(
            "[...document.querySelectorAll('.top-inside > *')].map((part) => part.offsetHeight)"
        )
        assert max(parts, default=0) <= ONE_LINE_PX, f"{name}: the header breaks at 320 px: {parts}"
        if size:
            self.page.set_viewport_size(size)

    def fits(self) -> None:
        """Nothing sticks out at the side, and no short word is broken for it."""
        widths: list[int] = self.page.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        assert widths[0] <= widths[1], f"{self.page.url} is {widths[0]} wide in {widths[1]}"
        broken: list[str] = self.page.evaluate(BROKEN_WORDS)
        assert not broken, f"{self.page.url} breaks {broken} in {widths[1]}"

    def accessible(self, where: str = "", rules: Sequence[str] = RULES) -> None:
        """axe-core finds no violation."""
        options: Any = {"runOnly": {"type": "tag", "values": list(rules)}}
        found = Axe().run(self.page, options=options)
        lines = [
            f"{violation['id']}: {violation['help']}: "
            + "; ".join(node["html"][:160] for node in violation["nodes"][:4])
            for violation in found.response["violations"]
        ]
        assert not lines, "\n".join([f"axe-core at {where or self.page.url}:", *lines])

    def close(self) -> None:
        self.context.close()
