// @vitest-environment happy-dom
// How the control room asks: not twice at once, not unseen, more seldom after failures.
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { usePolling } from "../../src/admin/room/usePolling";
import { Problem } from "../../src/api/problem";
import { type Hooked, hooked, Loads, rendered } from "../ui/hooked";

const EVERY_MS = 1_000;
const busy = (retryAfterS: number | null = null) =>
  new Problem("overloaded", 503, "Busy", retryAfterS);
let loads: Loads<string>;
let taken: string[];
let room: Hooked<null, ReturnType<typeof usePolling>>;

const pass = (ms: number) => rendered(() => vi.advanceTimersByTimeAsync(ms));

async function see(hidden: boolean): Promise<void> {
  vi.spyOn(document, "hidden", "get").mockReturnValue(hidden);
  await rendered(() => document.dispatchEvent(new Event("visibilitychange")));
}

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  vi.spyOn(Math, "random").mockReturnValue(0.999);
  loads = new Loads();
  taken = [];
  const take = (answer: string) => void taken.push(answer);
  room = await hooked<null, ReturnType<typeof usePolling>>(
    () => usePolling(loads.load, take, EVERY_MS),
    null,
  );
});

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

it("asks again some time after each answer, and never twice at once", async () => {
  await pass(EVERY_MS * 3);
  expect(loads.begun).toHaveLength(1);
  await loads.number(0).answer("one");
  await pass(EVERY_MS - 1);
  expect(loads.begun).toHaveLength(1);
  await pass(1);
  expect(loads.begun).toHaveLength(2);
  expect(taken).toEqual(["one"]);
});

it("asks at once when told to", async () => {
  await loads.number(0).answer("one");
  await rendered(room.now().now);
  await pass(0);
  expect(loads.begun).toHaveLength(2);
});

it("waits longer after each failure, ten seconds at most, and says what is wrong", async () => {
  const waits: number[] = [];
  for (let n = 0; n < 6; n += 1) {
    await loads.number(n).fail(busy());
    expect(room.now().problem?.code).toBe("overloaded");
    for (let ms = 0; loads.begun.length === n + 1; ms += 100) {
      await pass(100);
      waits[n] = ms + 100;
    }
  }
  expect(waits).toEqual([2_000, 4_000, 8_000, 10_000, 10_000, 10_000]);
  await loads.number(6).answer("back");
  expect(room.now().problem).toBeNull();
});

it("does not ask before the server wants it", async () => {
  await loads.number(0).fail(busy(30));
  await pass(29_999);
  expect(loads.begun).toHaveLength(1);
  await pass(2_001);
  expect(loads.begun).toHaveLength(2);
});

it("rests while the page is hidden, and asks as soon as it is seen", async () => {
  await loads.number(0).answer("one");
  await see(true);
  await pass(EVERY_MS * 5);
  expect(loads.begun).toHaveLength(1);
  await see(false);
  await pass(0);
  expect(loads.begun).toHaveLength(2);
});

it("takes nothing that comes when the page has gone, and asks no more", async () => {
  await room.end();
  await loads.number(0).answer("late");
  await pass(EVERY_MS * 5);
  expect(taken).toEqual([]);
  expect(loads.begun).toHaveLength(1);
});
