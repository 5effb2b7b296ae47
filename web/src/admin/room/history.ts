// What the room has seen of a sale since it was opened, bounded: one sample for each answer.
// Rates come from the counters of each process between two of its heartbeats, so that a process that
// was started again, or a poll that came late, bends no line.
import type { Heartbeat, Stats } from "../server";
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

export class History {
  /** Oldest first; a new array with each sample, so that what shows it draws again. */
  samples: readonly Sample[] = [];
  private readonly requests = new Rates("publisher", "requests");
  private readonly decided = new Rates("consumer", "decided");

  take(stats: Stats): void {
    const sample: Sample = {
      ...unitsOf(stats),
      atMs: stats.server_time_ms,
      requestsPerS: this.requests.take(stats.roles),
      decidedPerS: this.decided.take(stats.roles),
      standby: stats.reading && stats.phase !== "settled" ? stats.reading.standby : 0,
      expired: stats.books.expired,
      declined: stats.books.declined,
      backlog: stats.pressure?.backlog ?? 0,
      oldestMs: stats.pressure?.oldest_ms ?? 0,
      watching: stats.watching,
    };
    this.samples = [...this.samples.slice(1 - SAMPLES_MAX), sample];
  }
}
