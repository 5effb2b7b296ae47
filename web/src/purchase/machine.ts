// What this buyer's page knows of one purchase: the place as the server told it, the request that
// waits for its verdict, and the press in hand. Pure: `next` takes what happened and returns the new
// knowledge; sending, timing and storing are others' work.
//
// A place has a version that rises with each change; what is older than what is known is dropped.
// Answers without a place (queued, sold_out, closed, none) carry version 0 and belong to a request.
import type { Mine, State } from "../api/types";

/** What the server tells of a buyer's place, by push, lookup or `mine`. */
export interface Told {
  state: State;
  version: number;
  request_id?: string | null;
  position?: number | null;
  pay_by_ms?: number | null;
  checkout_token?: string | null;
  order_id?: string | null;
  extended?: boolean;
  /** The request that `mine` was asked about: what it answers is that request's end. */
  asked?: string | null;
  /** `mine` was asked with this place in hand, and nothing has changed it since. */
  unchanged?: boolean;
}

interface Place {
  state: State;
  version: number;
  requestId: string | null;
  position: number | null;
  payByMs: number | null;
  checkoutToken: string | null;
  orderId: string | null;
  /** The hold has had its extra time; null: nobody has said. */
  extended: boolean | null;
}

export type Press =
  | { step: "idle" }
  | { step: "sending" }
  | { step: "waiting"; untilMs: number; tries: number; code: string };

export interface Purchase {
  place: Place;
  /** Our accepted request that has no verdict yet. */
  pending: string | null;
  press: Press;
  /** Why the last press came to nothing: a problem's code. */
  refusal: string | null;
}

export type Happening =
  | { kind: "pressed" }
  | { kind: "accepted"; requestId: string }
  | { kind: "postponed"; untilMs: number; tries: number; code: string }
  | { kind: "refused"; code: string }
  | { kind: "told"; told: Told }
  /** Another tab has an accepted request (null: its verdict is in). */
  | { kind: "adopted"; requestId: string | null }
  | { kind: "forgotten" };

const NOWHERE: Place = {
  state: "none",
  version: 0,
  requestId: null,
  position: null,
  payByMs: null,
  checkoutToken: null,
  orderId: null,
  extended: null,
};

export const START: Purchase = {
  place: NOWHERE,
  pending: null,
  press: { step: "idle" },
  refusal: null,
};

const LIVE: ReadonlySet<State> = new Set(["held", "paying", "paid", "standby"]);

/** A place that ends a request: whoever has it waits for no other verdict. */
export function isLive(state: State): boolean {
  return LIVE.has(state);
}

/** The knowledge after `what` has happened. Never changes its argument. */
export function next(now: Purchase, what: Happening): Purchase {
  switch (what.kind) {
    case "pressed":
      return { ...now, press: { step: "sending" }, refusal: null };
    case "accepted":
      return accepted(now, what.requestId);
    case "postponed":
      return {
        ...now,
        press: { step: "waiting", untilMs: what.untilMs, tries: what.tries, code: what.code },
      };
    case "refused":
      return refused(now, what.code);
    case "told":
      return told(now, what.told);
    case "adopted":
      return what.requestId === null ? now : accepted(now, what.requestId);
    case "forgotten":
      return START;
  }
}

/** The verdict may have come before the answer to the press: then it stands. */
function accepted(now: Purchase, requestId: string): Purchase {
  const idle: Purchase = { ...now, press: { step: "idle" }, refusal: null };
  const known = now.place.requestId === requestId && now.place.state !== "queued";
  if (known || isLive(now.place.state)) return idle;
  return {
    ...idle,
    pending: requestId,
    place: { ...NOWHERE, state: "queued", version: now.place.version, requestId },
  };
}

function refused(now: Purchase, code: string): Purchase {
  const idle: Purchase = { ...now, press: { step: "idle" }, refusal: code };
  if (code !== "sold_out" || isLive(now.place.state) || now.pending) return idle;
  return { ...idle, place: { ...NOWHERE, state: "sold_out", version: now.place.version } };
}

function told(now: Purchase, news: Told): Purchase {
  return news.version > 0 ? toldOfPlace(now, news) : toldOfRequest(now, news);
}

function toldOfPlace(now: Purchase, news: Told): Purchase {
  if (news.version < now.place.version) return now;
  // A sale that is over has no standby: a push that was overtaken by a look.
  if (now.place.state === "closed" && news.state === "standby") return now;
  const ofAnOlderPress =
    now.pending !== null && now.pending !== (news.request_id ?? null) && !ends(now, news);
  if (ofAnOlderPress && !isLive(news.state)) return now; // how an earlier place ended
  const same = news.version === now.place.version && now.place.requestId === news.request_id;
  const place = same ? merged(now.place, news) : placeOf(news);
  return { ...now, place, pending: null, refusal: null, press: { step: "idle" } };
}

function toldOfRequest(now: Purchase, news: Told): Purchase {
  const inLine = now.place.state === "standby";
  const lost = inLine && news.unchanged === true && news.state !== "queued";
  if (isLive(now.place.state) && !lost && !(inLine && news.state === "closed")) return now;
  const id = news.request_id ?? null;
  const answered = ends(now, news);
  if (now.pending !== null && id !== now.pending && !answered && news.state !== "closed")
    return now;
  if (news.state === "none" || news.state === "ended") {
    if (!lost && !answered && (now.place.state !== "queued" || now.pending !== null)) return now;
    return { ...now, pending: null, place: { ...NOWHERE, version: now.place.version } };
  }
  const pending = news.state === "queued" ? (id ?? now.pending) : null;
  const place = { ...placeOf(news), version: now.place.version };
  return { ...now, place, pending, refusal: null, press: { step: "idle" } };
}

/** `mine` was asked about the request that waits here, and answers that it waits no more. */
function ends(now: Purchase, news: Told): boolean {
  return now.pending !== null && news.asked === now.pending && news.state !== "queued";
}

/** A lookup says less than a push of the same version: what it leaves out is kept, and a payment
 * that a lookup calls held stays one. */
function merged(old: Place, news: Told): Place {
  const fresh = placeOf(news);
  return {
    state:
      old.state === "paying" && fresh.state === "held" && !fresh.checkoutToken
        ? old.state
        : fresh.state,
    version: fresh.version,
    requestId: fresh.requestId ?? old.requestId,
    position: fresh.position ?? old.position,
    payByMs: fresh.payByMs ?? old.payByMs,
    checkoutToken: fresh.checkoutToken ?? old.checkoutToken,
    orderId: fresh.orderId ?? old.orderId,
    extended: fresh.extended ?? old.extended,
  };
}

function placeOf(news: Told): Place {
  return {
    state: news.state,
    version: news.version,
    requestId: news.request_id ?? null,
    position: news.position ?? null,
    payByMs: news.pay_by_ms ?? null,
    checkoutToken: news.checkout_token ?? null,
    orderId: news.order_id ?? null,
    extended: news.extended ?? null,
  };
}

/** `mine` as news. It is the whole truth, so what it does not say is not so. */
export function toldBy(mine: Mine): Told {
  return { ...mine, extended: mine.extended ?? false };
}
