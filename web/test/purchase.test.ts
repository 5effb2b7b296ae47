import { describe, expect, it } from "vitest";
import { pollMs, waitMs } from "../src/api/backoff";
import type { Sale } from "../src/api/types";
import { lookInMs } from "../src/purchase/looking";
import { type Happening, next, START } from "../src/purchase/machine";
import { pressingAgain, stage } from "../src/purchase/stage";

const T0 = 1_800_000_000_000;
const sale = {
  id: 7,
  phase: "scheduled",
  available: true,
  opens_at_ms: T0,
  closes_at_ms: T0 + 60_000,
} as Sale;

const told = (news: object): Happening =>
  ({ kind: "told", told: { version: 1, ...news } }) as Happening;

describe("the stage of a page", () => {
  it("opens by the clock, whatever was pushed last", () => {
    expect(stage(sale, START, T0 - 1)).toBe("before");
    expect(stage(sale, START, T0)).toBe("open");
  });

  it("ends by the clock, too", () => {
    expect(stage({ ...sale, phase: "open" }, START, T0 + 60_000)).toBe("over");
  });

  it("is paused, frozen or sold out as told", () => {
    expect(stage({ ...sale, phase: "paused" }, START, T0 + 1)).toBe("paused");
    expect(stage({ ...sale, phase: "frozen" }, START, T0 + 1)).toBe("frozen");
    expect(stage({ ...sale, phase: "open", available: false }, START, T0 + 1)).toBe("gone");
  });

  it.each(["held", "standby", "paying", "paid"] as const)("shows a place that is %s", (state) => {
    const mine = next(START, told({ state }));
    expect(stage({ ...sale, phase: "closed" }, mine, T0 + 99_000)).toBe(state);
  });

  it("offers another press while that can help, and says why not", () => {
    expect(pressingAgain(sale, T0 + 1)).toBe("can");
    expect(pressingAgain(sale, T0 + 60_000)).toBe("cannot");
    expect(pressingAgain({ ...sale, available: false }, T0 + 1)).toBe("full");
    expect(pressingAgain({ ...sale, phase: "paused" }, T0 + 1)).toBeNull();
  });
});

describe("asking again", () => {
  const growth = { firstMs: 400, mostMs: 8_000 };

  it("never comes before what the server asked for", () => {
    expect(waitMs(0, growth, 3, 0)).toBe(3_000);
    expect(waitMs(0, growth, 3, 0.999)).toBeGreaterThan(3_000);
  });

  it("spreads over a growing window with an end", () => {
    expect(waitMs(1, growth, null, 0.999)).toBeGreaterThan(waitMs(0, growth, null, 0.999));
    expect(waitMs(30, growth, null, 0.999)).toBeLessThanOrEqual(8_000);
    expect(pollMs(30, 0.999)).toBeLessThanOrEqual(15_000);
  });
});

describe("looking", () => {
  const queued = next(START, { kind: "accepted", requestId: "b.0" });

  it("waits for a push first, if pushes arrive", () => {
    expect(lookInMs(queued, true, T0, 0, 0)).toBe(4_000);
    expect(lookInMs(queued, false, T0, 0, 0)).toBe(1_000);
  });

  it("is for nobody who awaits nothing", () => {
    expect(lookInMs(START, true, T0, 0, 0)).toBeNull();
    const ended = next(START, told({ state: "expired" }));
    expect(lookInMs(ended, true, T0, 0, 0)).toBeNull();
  });

  it("fetches the token of a hold at once, then waits for its deadline", () => {
    const bare = next(START, told({ state: "held", pay_by_ms: T0 + 10_000 }));
    expect(lookInMs(bare, true, T0, 0, 0)).toBe(0);
    const whole = next(START, told({ state: "held", pay_by_ms: T0 + 10_000, checkout_token: "t" }));
    expect(lookInMs(whole, true, T0, 0, 0)).toBe(12_500);
    expect(lookInMs(whole, false, T0, 0, 0)).toBe(5_000);
  });

  it("asks for a position that was not told", () => {
    expect(lookInMs(next(START, told({ state: "standby" })), true, T0, 0, 0)).toBe(500);
    const placed = next(START, told({ state: "standby", position: 4 }));
    expect(lookInMs(placed, true, T0, 0, 0)).toBeGreaterThan(20_000);
  });

  it("fetches the order of what is paid", () => {
    expect(lookInMs(next(START, told({ state: "paid" })), true, T0, 0, 0)).toBe(0);
    const whole = next(START, told({ state: "paid", order_id: "o" }));
    expect(lookInMs(whole, true, T0, 0, 0)).toBeNull();
  });
});
