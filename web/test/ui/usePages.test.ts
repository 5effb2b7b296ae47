// @vitest-environment happy-dom
// A list in pages while pages come late, twice, or not at all.
import { beforeEach, describe, expect, it } from "vitest";
import { Problem } from "../../src/api/problem";
import type { Page } from "../../src/api/types";
import { type Pages, usePages } from "../../src/ui/usePages";
import { type Hooked, hooked, Loads, rendered } from "./hooked";

const LOST = new Problem("offline", 0, "No connection");
let loads: Loads<Page<string>>;
let cursors: (string | null)[];
let list: Hooked<string, Pages<string>>;

const answer = (n: number, items: string, next_cursor: string | null = null) =>
  loads.number(n).answer({ items: [...items], next_cursor });

beforeEach(async () => {
  loads = new Loads();
  cursors = [];
  const load = (cursor: string | null) => {
    cursors.push(cursor);
    return loads.load();
  };
  list = await hooked<string, Pages<string>>((key) => usePages(load, key), "lamps");
});

describe("pages", () => {
  it("follow each other until there is none", async () => {
    expect(list.now()).toMatchObject({ items: [], fresh: true, busy: true });
    await answer(0, "ab", "after b");
    expect(list.now()).toMatchObject({ items: ["a", "b"], fresh: false, busy: false });
    await rendered(list.now().next);
    expect(list.now()).toMatchObject({ items: ["a", "b"], busy: true });
    await answer(1, "c");
    expect(list.now()).toMatchObject({ items: ["a", "b", "c"], cursor: null, busy: false });
    expect(cursors).toEqual([null, "after b"]);
  });

  it("are added once, however often they are asked for", async () => {
    await answer(0, "a", "after a");
    await rendered(list.now().next);
    await rendered(list.now().next);
    await answer(1, "b");
    await answer(2, "b");
    expect(list.now().items).toEqual(["a", "b"]);
  });

  it("of an earlier key are dropped, and its items stay until others come", async () => {
    await answer(0, "a", "after a");
    await rendered(list.now().next);
    await list.show("tables");
    await answer(1, "b");
    expect(list.now()).toMatchObject({ items: ["a"], fresh: true, busy: true });
    await answer(2, "t");
    expect(list.now()).toMatchObject({ items: ["t"], fresh: false });
    expect(cursors).toEqual([null, "after a", null]);
  });

  it("that come when the list has gone are dropped", async () => {
    await list.end();
    const renders = list.renders();
    await answer(0, "a");
    expect(list.renders()).toBe(renders);
  });
});

describe("a page that failed", () => {
  it("is asked for again by the same function, and leaves the others", async () => {
    await answer(0, "a", "after a");
    await rendered(list.now().next);
    await loads.number(1).fail(LOST);
    expect(list.now()).toMatchObject({ items: ["a"], busy: false, problem: LOST });
    const { next } = list.now();
    await rendered(next);
    expect(list.now()).toMatchObject({ busy: true, problem: LOST });
    expect(list.now().next).toBe(next);
    await answer(2, "b");
    expect(list.now()).toMatchObject({ items: ["a", "b"], problem: null });
    expect(cursors).toEqual([null, "after a", "after a"]);
  });
});
