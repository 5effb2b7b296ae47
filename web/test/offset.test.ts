import { describe, expect, it } from "vitest";
import { OffsetEstimate } from "../src/clock/offset";

/** An exchange over ways of these lengths with a server whose clock is `ahead` of ours. */
function exchange(sentMs: number, thereMs: number, backMs: number, ahead: number) {
  return { sentMs, receivedMs: sentMs + thereMs + backMs, serverMs: sentMs + thereMs + ahead };
}

describe("the offset of the server's clock", () => {
  it("is unknown before the first exchange", () => {
    expect(new OffsetEstimate().best()).toBeNull();
  });

  it("is exact when both ways are equally long", () => {
    const estimate = new OffsetEstimate();
    expect(estimate.add(exchange(1000, 30, 30, 600_000)).offsetMs).toBe(600_000);
  });

  it("is right to within half of the way there and back", () => {
    const estimate = new OffsetEstimate();
    const { offsetMs, errorMs } = estimate.add(exchange(1000, 80, 0, -5_000));
    expect(errorMs).toBe(40);
    expect(Math.abs(offsetMs + 5_000)).toBeLessThanOrEqual(errorMs);
  });

  it("goes by the quickest of the latest exchanges", () => {
    const estimate = new OffsetEstimate();
    estimate.add(exchange(0, 200, 0, 7_000));
    estimate.add(exchange(1000, 5, 5, 7_000));
    expect(estimate.add(exchange(2000, 0, 300, 7_000))).toEqual({ offsetMs: 7_000, errorMs: 5 });
  });

  it("forgets what a sleeping device measured", () => {
    const estimate = new OffsetEstimate();
    estimate.add(exchange(0, 1, 1, 7_000));
    const slept = estimate.add(exchange(100, 50, 50, 67_000));
    expect(slept.offsetMs).toBe(67_000);
    expect(estimate.best()?.offsetMs).toBe(67_000);
  });

  it("does not keep an old measurement for ever", () => {
    const estimate = new OffsetEstimate();
    estimate.add(exchange(0, 1, 1, 0));
    for (let i = 1; i <= 8; i += 1) estimate.add(exchange(i * 1000, 10, 10, 0));
    expect(estimate.best()?.errorMs).toBe(10);
  });
});
