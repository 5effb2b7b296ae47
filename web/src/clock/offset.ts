// How far the server's clock is from this device's steady clock, from request and answer times.
// Pure: times come in as numbers. The rule is NTP's: of the latest exchanges the one with the
// shortest way there and back knows best, and is wrong by at most half of that way.

const KEPT = 8;

/** One exchange: sent and received on the steady clock, and what the server's clock read. In ms. */
export interface Exchange {
  sentMs: number;
  receivedMs: number;
  serverMs: number;
}

export interface Offset {
  /** Add it to the steady clock to have the server's. */
  offsetMs: number;
  /** The offset is right to within this. */
  errorMs: number;
}

function estimate({ sentMs, receivedMs, serverMs }: Exchange): Offset {
  const errorMs = Math.max(0, receivedMs - sentMs) / 2;
  return { offsetMs: serverMs - (sentMs + receivedMs) / 2, errorMs };
}

/**
 * The best estimate of the latest exchanges. Earlier ones that contradict the newest (the device
 * slept, and its steady clock with it) are forgotten.
 */
export class OffsetEstimate {
  private known: Offset[] = [];

  add(exchange: Exchange): Offset {
    const fresh = estimate(exchange);
    const agrees = (old: Offset) =>
      Math.abs(old.offsetMs - fresh.offsetMs) <= old.errorMs + fresh.errorMs + 1;
    this.known = [...this.known.filter(agrees), fresh].slice(-KEPT);
    return this.best() ?? fresh;
  }

  /** Null before the first exchange. */
  best(): Offset | null {
    return this.known.reduce<Offset | null>(
      (best, next) => (best === null || next.errorMs <= best.errorMs ? next : best),
      null,
    );
  }
}
