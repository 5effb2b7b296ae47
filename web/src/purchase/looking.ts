// When a page should look up its place although nothing was pushed. Pure. A push is a hint that may
// be lost, so whoever waits for one looks by himself, seldom and never together with the others.
import { pollMs } from "../api/backoff";
import type { Purchase } from "./machine";

const VERDICT_MS = 4_000; // a push usually comes within a second
const STANDBY_MS = 30_000;
const AFTER_DEADLINE_MS = 2_500; // the shop's grace, and a little

/**
 * Milliseconds until the next look; null: nothing is awaited.
 *
 * @param live pushes arrive.
 * @param looks how many there were since the place last changed.
 * @param random in [0, 1).
 */
export function lookInMs(
  { place, pending }: Purchase,
  live: boolean,
  nowMs: number,
  looks: number,
  random: number,
): number | null {
  if (pending !== null || place.state === "queued") {
    return live && looks === 0 ? VERDICT_MS * (1 + random) : pollMs(looks, random);
  }
  switch (place.state) {
    case "held":
      if (place.checkoutToken === null) return looks === 0 ? 0 : pollMs(looks, random);
      return untilPast(place.payByMs, nowMs, looks, random, live);
    case "paying":
      return 1_000 + random * 1_500;
    case "paid":
      if (place.orderId !== null) return null;
      return looks === 0 ? 0 : pollMs(looks, random);
    case "standby":
      if (place.position === null && looks === 0) return 500 + random * 1_000;
      return live ? STANDBY_MS * (0.75 + random / 2) : pollMs(looks, random);
    default:
      return null;
  }
}

function untilPast(
  payByMs: number | null,
  nowMs: number,
  looks: number,
  random: number,
  live: boolean,
): number {
  const left = (payByMs ?? nowMs) + AFTER_DEADLINE_MS - nowMs;
  if (left <= 0) return pollMs(looks, random);
  return live ? left : Math.min(left, 5_000 + random * 5_000);
}
