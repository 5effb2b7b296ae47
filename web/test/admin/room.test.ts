// What the control room makes of one answer after another.
import { describe, expect, it } from "vitest";
import { levers } from "../../src/admin/room/Controls";
import { counter, History, Rates, SAMPLES_MAX } from "../../src/admin/room/history";
import { WHOLE } from "../../src/admin/room/scale";
import { balanced, unitsOf } from "../../src/admin/room/units";
import type { Heartbeat, Stats } from "../../src/admin/server";

function beat(instance: string, beat_ms: number, requests: number, pid = 1): Heartbeat {
  return { role: "publisher", instance, pid, beat_ms, counters: { requests }, watching: {} };
}

const reading = {
  sale_id: 1,
  epoch: 2,
  genuine: true,
  phase: "open",
  stock: 10,
  free: 3,
  held: 4,
  paid: 3,
  refused: 0,
  seq: 9,
  standby: 5,
  standby_limit: 100,
  ungranted: 0,
  batches: 1,
  closes_at_ms: 9,
  now_ms: 1,
  ahead_ms: 0,
};

function stats(changes: Partial<Stats> = {}): Stats {
  return {
    sale_id: 1,
    phase: "open",
    stored_phase: "scheduled",
    opens_at_ms: 0,
    closes_at_ms: 9,
    settled_at_ms: null,
    server_time_ms: 1_000,
    watching: 7,
    ledger: { epoch: 2, frozen: null, stock: 10, granted: 7, sold: 3 },
    reading,
    pressure: { backlog: 2, log_bytes: 1, full: false, oldest_ms: 80 },
    roles: [],
    books: {
      held: 3,
      paying: 1,
      paid: 3,
      expired: 2,
      declined: 1,
      promoted: 0,
      rescued: 0,
      orders: 3,
      mails: {},
      verdict: "",
    },
    audit: null,
    audit_run: null,
    ...changes,
  };
}

describe("units", () => {
  it("are Redis's own count while the sale is live, of which some are paying", () => {
    const units = unitsOf(stats());
    expect(units).toEqual({ stock: 10, free: 3, held: 3, paying: 1, paid: 3, live: true });
    expect(balanced(units)).toBe(true);
  });

  it("are the ledger's while Redis is away, mid-rebuild, or done with the sale", () => {
    const ledgers = { stock: 10, free: 3, held: 3, paying: 1, paid: 3, live: false };
    expect(unitsOf(stats({ reading: null }))).toEqual(ledgers);
    expect(unitsOf(stats({ reading: { ...reading, epoch: 0 } }))).toEqual(ledgers);
    expect(unitsOf(stats({ phase: "settled" }))).toEqual(ledgers);
  });

  it("are said not to add up when they do not", () => {
    expect(balanced(unitsOf(stats({ reading: { ...reading, free: 4 } })))).toBe(false);
    expect(balanced(unitsOf(stats({ reading: { ...reading, free: -1, paid: 7 } })))).toBe(false);
  });
});

describe("rates", () => {
  it("are counts between two heartbeats of the same process", () => {
    const rates = new Rates("publisher", "requests");
    expect(rates.take([beat("0", 1_000, 100)])).toBe(0);
    expect(rates.take([beat("0", 2_000, 400)])).toBe(300);
    expect(rates.take([beat("0", 2_000, 400)])).toBe(300); // the same heartbeat, polled twice
    expect(rates.take([beat("0", 4_000, 500), beat("1", 4_000, 9_000)])).toBe(50);
  });

  it("do not fall below nothing, nor leap, when a process was started again", () => {
    const rates = new Rates("publisher", "requests");
    rates.take([beat("0", 1_000, 100)]);
    expect(rates.take([beat("0", 2_000, 7, 2)])).toBe(0);
    expect(rates.take([beat("0", 3_000, 17, 2)])).toBe(10);
    expect(rates.take([])).toBe(0);
  });
});

describe("history", () => {
  it("keeps a bounded number of samples and makes a new list for each", () => {
    const history = new History();
    history.take(stats());
    const before = history.samples;
    for (let i = 0; i < SAMPLES_MAX + 5; i++) history.take(stats({ server_time_ms: i }));
    expect(before).toHaveLength(1);
    expect(history.samples).toHaveLength(SAMPLES_MAX);
    expect(history.samples.at(-1)).toMatchObject({ atMs: SAMPLES_MAX + 4, backlog: 2, standby: 5 });
  });

  it("counts what was decided of this sale between two readings of the same epoch", () => {
    const history = new History();
    const rateAt = (now_ms: number, seq: number, refused: number, epoch = 2) => {
      history.take(stats({ reading: { ...reading, now_ms, seq, refused, epoch } }));
      return history.samples.at(-1)?.decidedPerS;
    };
    expect(rateAt(1_000, 9, 100)).toBe(0);
    expect(rateAt(3_000, 19, 290)).toBe(100);
    expect(rateAt(3_000, 19, 290)).toBe(100); // the same reading, polled twice
    expect(rateAt(4_000, 19, 0, 3)).toBe(0); // rebuilt
    expect(rateAt(4_500, 20, 0, 3)).toBe(2);
    history.take(stats({ reading: null }));
    expect(history.samples.at(-1)?.decidedPerS).toBe(0);
  });

  it("sums counters over the processes of a role", () => {
    expect(counter([beat("0", 1, 2), beat("1", 1, 3)], "publisher", "requests")).toBe(5);
    expect(counter([beat("0", 1, 2)], "gateway", "sockets")).toBe(0);
  });
});

describe("levers", () => {
  it("are those the phase allows", () => {
    expect(levers("open", "scheduled")).toEqual(["pause", "stock", "close"]);
    expect(levers("paused", "paused")).toEqual(["resume", "stock", "close"]);
    expect(levers("frozen", "paused")).toEqual(["resume", "rebuild", "close"]);
    expect(levers("closed", "paused")).toEqual(["resume"]);
    expect(levers("settled", "settled")).toEqual([]);
    expect(levers("draft", "draft")).toEqual([]);
  });
});

describe("the charts' scale", () => {
  it("steps by whole numbers that grow, so that no two ticks read the same", () => {
    expect(WHOLE.slice(0, 5)).toEqual([1, 2, 5, 10, 20]);
    expect(WHOLE.every((step, n) => Number.isInteger(step) && step > (WHOLE[n - 1] ?? 0))).toBe(
      true,
    );
  });
});
