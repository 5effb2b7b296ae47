// The server's clock as this device knows it. The device's own time of day is never used, except as
// a first guess until the first answer has come.
import { signal } from "@preact/signals";
import { request } from "../api/client";
import { type Offset, OffsetEstimate } from "./offset";
import { whileVisible } from "./whileVisible";

const SAMPLE_EVERY_MS = 60_000;

const estimate = new OffsetEstimate();

/** What is known; null before the first exchange. What renders a time follows it. */
export const offset = signal<Offset | null>(null);

/** The steady clock: ms that no change of the device's time moves. */
export function steadyMs(): number {
  return performance.now();
}

/** The server's time now, in Unix ms. */
export function serverNow(): number {
  const known = offset.value;
  return known ? steadyMs() + known.offsetMs : Date.now();
}

/** An exchange with the server was measured. */
export function measured(sentMs: number, serverMs: number): void {
  offset.value = { ...estimate.add({ sentMs, receivedMs: steadyMs(), serverMs }) };
}

/** Ask for the time once. A failure is no matter: the next one may come through. */
export async function askTime(): Promise<void> {
  const sentMs = steadyMs();
  try {
    const { server_time_ms } = await request<{ server_time_ms: number }>("GET", "/time");
    measured(sentMs, server_time_ms);
  } catch {
    // whoever needs the network says so
  }
}

/**
 * Exchange times now and then while a page needs the clock, and whenever the device may have slept;
 * the returned function stops.
 *
 * @param ask how to exchange times: over the socket if there is one, else `askTime`.
 */
export function keepTime(ask: () => Promise<void>): () => void {
  const again = () => {
    if (document.visibilityState === "visible") void ask();
  };
  const stop = whileVisible(SAMPLE_EVERY_MS, again);
  document.addEventListener("visibilitychange", again);
  addEventListener("online", again);
  return () => {
    stop();
    document.removeEventListener("visibilitychange", again);
    removeEventListener("online", again);
  };
}
