// What the room has seen of a sale since it was opened, bounded: one sample for each answer.
// Requests come from the counters of each process between two of its heartbeats, decisions from the
// sale's own counters between two readings, so that a process that was started again, or a poll that
// came late, bends no line.
import type { Heartbeat, Reading, Stats } from "../server";
import { type Units, unitsOf } from "./units";

export const SAMPLES_MAX = 900; // a quarter of an hour at one a second

export interface Sample extends Units {
  atMs: number;
  requestsPerS: number;
  decidedPerS: number;
  standby: number;
  expired: number;
  declined: number;
  backlog: number;
  oldestMs: number;
  watching: number;
}

export function counter(beats: Heartbeat[], role: string, name: string): number {
  return beats
    .filter((beat) => beat.role === role)
    .reduce((sum, beat) => sum + (beat.counters[name] ?? 0), 0);
}

/** Counts of each process per second between its last two heartbeats. */
export class Rates {
  private last = new Map<string, Heartbeat>();
  private rates = new Map<string, number>();

  constructor(
    private readonly role: string,
    private readonly name: string,
  ) {}

  /** The sum over the processes that are alive. */
  take(beats: Heartbeat[]): number {
    const alive = new Set<string>();
    for (const beat of beats) {
      if (beat.role !== this.role) continue;
      const key = `${beat.instance}:${beat.pid}`;
      alive.add(key);
      const before = this.last.get(key);
      if (before && beat.beat_ms > before.beat_ms) {
        const more = (beat.counters[this.name] ?? 0) - (before.counters[this.name] ?? 0);
        this.rates.set(key, Math.max(0, more) / ((beat.beat_ms - before.beat_ms) / 1000));
      }
      if (!before || beat.beat_ms > before.beat_ms) this.last.set(key, beat);
    }
    for (const key of this.last.keys()) {
      if (!alive.has(key)) {
        this.last.delete(key);
        this.rates.delete(key);
      }
    }
    return [...this.rates.values()].reduce((sum, value) => sum + value, 0);
  }
}

/** Requests of this sale that got a place or heard that there is none. */
export function decided(reading: Reading): number {
  return reading.seq + reading.refused;
}

export class History {
  /** Oldest first; a new array with each sample, so that what shows it draws again. */
  samples: readonly Sample[] = [];
  private readonly requests = new Rates("publisher", "requests");
  private reading: Reading | null = null;
  private decidedPerS = 0;

  take(stats: Stats): void {
    const sample: Sample = {
      ...unitsOf(stats),
      atMs: stats.server_time_ms,
      requestsPerS: this.requests.take(stats.roles),
      decidedPerS: this.rateOfDecisions(stats.reading),
      standby: stats.reading && stats.phase !== "settled" ? stats.reading.standby : 0,
      expired: stats.books.expired,
      declined: stats.books.declined,
      backlog: stats.pressure?.backlog ?? 0,
      oldestMs: stats.pressure?.oldest_ms ?? 0,
      watching: stats.watching,
    };
    this.samples = [...this.samples.slice(1 - SAMPLES_MAX), sample];
  }

  /** Between the last two readings; after a rebuild there is nothing to compare with. */
  private rateOfDecisions(now: Reading | null): number {
    const before = this.reading;
    if (!now || now.epoch === 0) return 0;
    if (before && before.now_ms >= now.now_ms) return this.decidedPerS;
    this.reading = now;
    const more = before?.epoch === now.epoch ? Math.max(0, decided(now) - decided(before)) : 0;
    this.decidedPerS = before ? more / ((now.now_ms - before.now_ms) / 1000) : 0;
    return this.decidedPerS;
  }
}
