// What a countdown shows, when it changes next, and when it is worth speaking of. Pure.

export interface Remaining {
  days: number;
  hours: number;
  minutes: number;
  seconds: number;
  /** Whole seconds left, rounded up: 0 only when the time has come. */
  totalS: number;
}

export function remaining(targetMs: number, nowMs: number): Remaining {
  const totalS = Math.max(0, Math.ceil((targetMs - nowMs) / 1000));
  return {
    days: Math.floor(totalS / 86_400),
    hours: Math.floor((totalS % 86_400) / 3600),
    minutes: Math.floor((totalS % 3600) / 60),
    seconds: totalS % 60,
    totalS,
  };
}

/** Milliseconds until the display changes; null once it stands at zero. */
export function nextChangeMs(targetMs: number, nowMs: number): number | null {
  const left = targetMs - nowMs;
  if (left <= 0) return null;
  return left - (Math.ceil(left / 1000) - 1) * 1000;
}

/** A number of a clock, in two digits. */
export function twoDigits(n: number): string {
  return String(n).padStart(2, "0");
}

/** 9:05, 1:09:05 or 25:09:05. */
export function clockText({ days, hours, minutes, seconds }: Remaining): string {
  const allHours = days * 24 + hours;
  const rest = `${twoDigits(minutes)}:${twoDigits(seconds)}`;
  return allHours > 0 ? `${allHours}:${rest}` : `${minutes}:${twoDigits(seconds)}`;
}

/** Seconds left at which a waiting buyer is told by voice; a second-by-second voice helps nobody. */
export const OPENING_MILESTONES = [600, 300, 60, 30, 10, 0];
/** The same for the deadline of a payment. */
export const DEADLINE_MILESTONES = [300, 120, 60, 20];

/** The lowest milestone passed between two readings, else null. */
export function milestone(
  before: number | null,
  nowS: number,
  milestones: readonly number[],
): number | null {
  if (before === null) return null;
  const passed = milestones.filter((at) => nowS <= at && at < before);
  return passed.length > 0 ? Math.min(...passed) : null;
}

export type Urgency = "calm" | "warn" | "last";

/** How much a payment's deadline presses: it warns at 60 s and again at 20 s. */
export function urgency(leftS: number): Urgency {
  if (leftS <= 20) return "last";
  return leftS <= 60 ? "warn" : "calm";
}
