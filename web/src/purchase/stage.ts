// Which face the sale page shows, from the sale's phase, the clock and the buyer's purchase. Pure.
import type { Sale } from "../api/types";
import { isLive, type Purchase } from "./machine";

export type Stage =
  | "before" // the countdown runs
  | "open" // the button is live
  | "sending"
  | "waiting" // too busy; pressed again by itself
  | "queued"
  | "held"
  | "paying"
  | "paid"
  | "standby"
  | "gone" // nothing left, nothing to press
  | "paused"
  | "frozen"
  | "over";

/** Whether the sale takes presses at `nowMs` by the server's clock, whatever the last push said:
 * opening is a comparison of times, no message has to arrive for it. */
export function saleStage(
  sale: Sale,
  nowMs: number,
): "before" | "open" | "paused" | "frozen" | "over" {
  if (sale.phase === "settled" || sale.phase === "closed") return "over";
  if (nowMs >= sale.closes_at_ms) return "over";
  if (nowMs < sale.opens_at_ms) return "before";
  if (sale.phase === "paused" || sale.phase === "frozen") return sale.phase;
  return "open";
}

export function stage(sale: Sale, purchase: Purchase, nowMs: number): Stage {
  const { state } = purchase.place;
  if (isLive(state)) return state as "held" | "paying" | "paid" | "standby";
  if (purchase.pending !== null || state === "queued") return "queued";
  if (purchase.press.step === "sending") return "sending";
  if (purchase.press.step === "waiting") return "waiting";
  const now = saleStage(sale, nowMs);
  if (now === "open" && !sale.available) return "gone";
  return now;
}

/** What another press would do for a buyer whose place has ended; null while the sale rests. */
export function pressingAgain(sale: Sale, nowMs: number): "can" | "full" | "cannot" | null {
  const now = saleStage(sale, nowMs);
  if (now === "over") return "cannot";
  if (now !== "open") return null;
  return sale.available ? "can" : "full";
}
