import { describe, expect, it } from "vitest";
import {
  clockText,
  DEADLINE_MILESTONES,
  milestone,
  nextChangeMs,
  OPENING_MILESTONES,
  remaining,
  urgency,
} from "../src/clock/countdown";

const T0 = 1_800_000_000_000;

describe("a countdown", () => {
  it("shows a second until it is over, and zero not before", () => {
    expect(remaining(T0, T0 - 1).totalS).toBe(1);
    expect(remaining(T0, T0).totalS).toBe(0);
    expect(remaining(T0, T0 + 5_000).totalS).toBe(0);
  });

  it("splits into days, hours, minutes and seconds", () => {
    const left = remaining(T0, T0 - (2 * 86_400 + 3 * 3600 + 4 * 60 + 5) * 1000);
    expect(left).toMatchObject({ days: 2, hours: 3, minutes: 4, seconds: 5 });
  });

  it.each([
    [1000, 1000],
    [1500, 500],
    [1, 1],
    [60_250, 250],
  ])("with %i ms left changes in %i ms", (left, change) => {
    expect(nextChangeMs(T0, T0 - left)).toBe(change);
    const then = T0 - left + change;
    expect(remaining(T0, then).totalS).toBe(remaining(T0, T0 - left).totalS - 1);
  });

  it("stands still at zero", () => {
    expect(nextChangeMs(T0, T0)).toBeNull();
  });

  it.each([
    [5, "0:05"],
    [605, "10:05"],
    [3600, "1:00:00"],
    [90_000, "25:00:00"],
  ])("of %i s reads %s", (seconds, text) => {
    expect(clockText(remaining(T0, T0 - seconds * 1000))).toBe(text);
  });
});

describe("a voice", () => {
  it("speaks when a milestone is passed, and once", () => {
    expect(milestone(61, 60, DEADLINE_MILESTONES)).toBe(60);
    expect(milestone(60, 59, DEADLINE_MILESTONES)).toBeNull();
  });

  it("says the nearest of several that were slept through", () => {
    expect(milestone(200, 15, DEADLINE_MILESTONES)).toBe(20);
  });

  it("says that it is over, and nothing else with it", () => {
    expect(milestone(40, 0, OPENING_MILESTONES)).toBe(0);
    expect(milestone(0, 0, OPENING_MILESTONES)).toBeNull();
  });

  it("is silent on the first reading", () => {
    expect(milestone(null, 15, DEADLINE_MILESTONES)).toBeNull();
  });

  it("goes with what is seen", () => {
    expect([61, 60, 21, 20, 0].map(urgency)).toEqual(["calm", "warn", "warn", "last", "last"]);
  });
});
