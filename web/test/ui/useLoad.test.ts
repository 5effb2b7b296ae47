// @vitest-environment happy-dom
// What a page shows while answers come late, out of order, or not at all.
import { beforeEach, describe, expect, it } from "vitest";
import { Problem } from "../../src/api/problem";
import { type Loaded, useLoad } from "../../src/ui/useLoad";
import { type Hooked, hooked, Loads, rendered } from "./hooked";

const LOST = new Problem("offline", 0, "No connection");
let loads: Loads<string>;
let page: Hooked<string, Loaded<string>>;

beforeEach(async () => {
  loads = new Loads();
  page = await hooked<string, Loaded<string>>((key) => useLoad(loads.load, key), "first");
});

describe("an answer", () => {
  it("is shown, and nothing before it has come", async () => {
    expect(page.now()).toMatchObject({ value: null, problem: null });
    await loads.number(0).answer("lamp");
    expect(page.now()).toMatchObject({ value: "lamp", problem: null });
  });

  it("that comes late, after that to a newer load, is dropped", async () => {
    await rendered(page.now().again);
    await loads.number(1).answer("new");
    await loads.number(0).answer("old");
    expect(page.now().value).toBe("new");
  });

  it("to an earlier load shows until that to the newest has come", async () => {
    await rendered(page.now().again); // as a page does that asks faster than it is answered
    await loads.number(0).answer("old");
    expect(page.now().value).toBe("old");
    await loads.number(1).answer("new");
    expect(page.now().value).toBe("new");
  });

  it("that comes when the page has gone is dropped", async () => {
    await page.end();
    const renders = page.renders();
    await loads.number(0).answer("late");
    expect(page.renders()).toBe(renders);
    expect(page.now().value).toBeNull();
  });

  it("stays while it is asked for again, and when that fails", async () => {
    await loads.number(0).answer("lamp");
    await rendered(page.now().again);
    expect(page.now()).toMatchObject({ value: "lamp", problem: null });
    await loads.number(1).fail(LOST);
    expect(page.now()).toMatchObject({ value: "lamp", problem: LOST });
  });
});

describe("a failure", () => {
  it("is shown until an answer has come", async () => {
    await loads.number(0).fail(LOST);
    await rendered(page.now().again);
    expect(page.now().problem).toBe(LOST);
    await loads.number(1).answer("lamp");
    expect(page.now()).toMatchObject({ value: "lamp", problem: null });
  });

  it("that comes after the answer to a newer load is dropped", async () => {
    await rendered(page.now().again);
    await loads.number(1).answer("lamp");
    await loads.number(0).fail(LOST);
    expect(page.now().problem).toBeNull();
  });
});

describe("another key", () => {
  it("loads anew, and shows nothing of the one before", async () => {
    await loads.number(0).answer("of the first");
    await page.show("second");
    expect(page.now()).toMatchObject({ value: null, problem: null });
    await loads.number(1).answer("of the second");
    expect(page.now().value).toBe("of the second");
  });

  it.each([
    ["before", [0, 1]],
    ["after", [1, 0]],
  ])("drops what was asked for the last one, come %s", async (_, order) => {
    await page.show("second");
    for (const n of order) {
      await loads.number(n).answer(n ? "of the second" : "of the first");
      expect(page.now().value).not.toBe("of the first");
    }
    expect(page.now().value).toBe("of the second");
  });

  it("that fails does not show the value of the one before", async () => {
    await loads.number(0).answer("of the first");
    await page.show("second");
    await loads.number(1).fail(LOST);
    expect(page.now()).toMatchObject({ value: null, problem: LOST });
  });

  it("does not show the problem of the one before", async () => {
    await loads.number(0).fail(LOST);
    await page.show("second");
    expect(page.now().problem).toBeNull();
  });
});

it("the same key asks once, however often it is rendered", async () => {
  await page.show("first");
  await page.show("first");
  expect(loads.begun).toHaveLength(1);
});
