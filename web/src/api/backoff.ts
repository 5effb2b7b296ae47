// Backoff: how long to wait before asking again. Pure: the randomness comes in.

/** The window of a first wait, and the longest that it grows to. */
export interface Growth {
  firstMs: number;
  mostMs: number;
}

/**
 * Milliseconds before try number `tries` + 1: a random part of a growing window ("full jitter"), and
 * never before what the server asked for.
 *
 * @param random in [0, 1).
 */
export function waitMs(
  tries: number,
  { firstMs, mostMs }: Growth,
  retryAfterS: number | null,
  random: number,
): number {
  const window = Math.min(mostMs, firstMs * 2 ** tries);
  const asked = retryAfterS === null ? 0 : retryAfterS * 1000;
  return Math.round(asked + random * window);
}

/** Milliseconds between two looks while nothing is pushed: seldom, and no two buyers together. */
export function pollMs(looks: number, random: number): number {
  const every = Math.min(10_000, 2_000 * 1.5 ** looks);
  return Math.round(every * (0.5 + random));
}
