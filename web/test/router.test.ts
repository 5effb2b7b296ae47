// @vitest-environment happy-dom
// Which clicks the pages follow themselves, which they leave to the browser, and what an address names.
import { beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { go, guardLeaving, match, place, startRouter } from "../src/router";

const scrolled = vi.fn();
let followedByBrowser: boolean;

beforeAll(() => {
  vi.stubGlobal("scrollTo", scrolled);
  startRouter();
  // after the router: what nobody has prevented the browser would do
  document.addEventListener("click", (event) => {
    followedByBrowser = !event.defaultPrevented;
    event.preventDefault();
  });
});

beforeEach(() => {
  history.replaceState(null, "", "/start?by=test");
  dispatchEvent(new PopStateEvent("popstate"));
  scrolled.mockClear();
});

/** Clicks what is marked with `id="it"`. */
function click(html: string, how: MouseEventInit = {}): void {
  document.body.innerHTML = html;
  const options = { bubbles: true, cancelable: true, ...how };
  document.getElementById("it")?.dispatchEvent(new MouseEvent("click", options));
}

/** What the browser does on its back button. */
function back(to: string): void {
  history.replaceState(null, "", to);
  dispatchEvent(new PopStateEvent("popstate"));
}

describe("a link to a page of ours", () => {
  it("is followed without the browser, from whatever is clicked in it", () => {
    const steps = history.length;
    click('<a href="/sales/7?from=home"><b id="it">Lamp</b></a>');
    expect(followedByBrowser).toBe(false);
    expect(place.value).toEqual({ path: "/sales/7", query: "from=home" });
    expect(location.pathname).toBe("/sales/7");
    expect(history.length).toBe(steps + 1);
    expect(scrolled).toHaveBeenCalledWith(0, 0);
  });

  it.each([
    ["another site", '<a id="it" href="https://elsewhere.example/sales/7">x</a>', {}],
    ["another window", '<a id="it" href="/sales/7" target="_blank">x</a>', {}],
    ["a download", '<a id="it" href="/sales/7" download>x</a>', {}],
    ["the API", '<a id="it" href="/api/docs">x</a>', {}],
    ["a file", '<a id="it" href="/files/lamp.jpg">x</a>', {}],
    ["the sandbox's bank", '<a id="it" href="/sandbox/pay">x</a>', {}],
    ["a part of the page", '<a id="it" href="#content">x</a>', {}],
    ["no link", '<button id="it">x</button>', {}],
    ["another button", '<a id="it" href="/sales/7">x</a>', { button: 1 }],
    ["ctrl", '<a id="it" href="/sales/7">x</a>', { ctrlKey: true }],
    ["meta", '<a id="it" href="/sales/7">x</a>', { metaKey: true }],
    ["shift", '<a id="it" href="/sales/7">x</a>', { shiftKey: true }],
    ["alt", '<a id="it" href="/sales/7">x</a>', { altKey: true }],
  ])("is not what is clicked: %s", (_, html, how) => {
    click(html, how);
    expect(followedByBrowser).toBe(true);
    expect(place.value.path).toBe("/start");
  });

  it("is not followed if somebody else has seen to the click", () => {
    document.body.innerHTML = '<p><a id="it" href="/sales/7">x</a></p>';
    document.querySelector("p")?.addEventListener("click", (event) => event.preventDefault());
    document
      .getElementById("it")
      ?.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true }));
    expect(place.value.path).toBe("/start");
  });
});

describe("going", () => {
  it("leaves a step back, unless it replaces one", () => {
    const steps = history.length;
    go("/orders");
    expect(history.length).toBe(steps + 1);
    go("/orders/7", { replace: true });
    expect(history.length).toBe(steps + 1);
    expect(place.value.path).toBe("/orders/7");
  });

  it("back shows the page that the browser has gone to, where it was scrolled", () => {
    back("/orders?cursor=7");
    expect(place.value).toEqual({ path: "/orders", query: "cursor=7" });
    expect(scrolled).not.toHaveBeenCalled();
  });
});

describe("a page with unsaved changes", () => {
  it("is left neither by a link nor by the back button, but when it says so", () => {
    const wanted: string[] = [];
    const stop = guardLeaving((to) => {
      wanted.push(to);
      return false;
    });
    click('<a id="it" href="/orders?q=a">x</a>');
    back("/sales/7");
    expect(wanted).toEqual(["/orders?q=a", "/sales/7"]);
    expect(place.value).toEqual({ path: "/start", query: "by=test" });
    expect(location.pathname + location.search).toBe("/start?by=test");
    expect(followedByBrowser).toBe(false);
    go("/account");
    expect(place.value.path).toBe("/account");
    stop();
    click('<a id="it" href="/orders">x</a>');
    expect(place.value.path).toBe("/orders");
  });

  it("does not ask about its own parts", () => {
    const asked = vi.fn(() => false);
    const stop = guardLeaving(asked);
    back("/start?by=test#content");
    stop();
    expect(asked).not.toHaveBeenCalled();
  });
});

describe("an address", () => {
  it.each([
    ["/", "/", {}],
    ["/orders", "/orders/", {}],
    ["/sales/:id", "/sales/7", { id: "7" }],
    ["/admin/sales/:id/edit", "/admin/sales/7/edit", { id: "7" }],
    ["/sales/:id", "/sales/%", { id: "%" }], // broken, and still an address
    ["/orders", "/orders/7", null],
    ["/sales/:id", "/sales", null],
    ["/orders", "/Orders", null],
    ["/orders", "//orders", null],
  ])("%s: %s", (pattern, path, found) => {
    expect(match(pattern, path)).toEqual(found);
  });
});
