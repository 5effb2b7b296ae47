// One buyer's press and place amid lost answers, other people and other tabs.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { credentials, request } from "../src/api/client";
import type { Sale } from "../src/api/types";
import { Buyer } from "../src/purchase/buyer";
import { pay } from "../src/purchase/checkout";
import type { Told } from "../src/purchase/machine";
import { session, sessionEnded } from "../src/session/session";
import { type Call, page, settle } from "./page";

const RID = "0192-batch.3";
const sale = { id: 7, phase: "open", opens_at_ms: 0, closes_at_ms: Number.MAX_SAFE_INTEGER };
let calls: Call[];
let stop: () => void;

function signIn(id: number, token = `token-${id}`): void {
  const user = { id, name: "Ada", email: "ada@example.com", role: "buyer" };
  session.value = { token, user, expiresAtMs: Number.MAX_SAFE_INTEGER };
}

function started(lookup: () => Promise<Told | null> = async () => null): Buyer {
  const buyer = new Buyer(7, lookup, () => sale as Sale);
  stop = buyer.start();
  return buyer;
}

async function pressed(buyer: Buyer): Promise<Call> {
  void buyer.press("moon");
  await settle();
  return last("POST");
}

function last(method: string): Call {
  const found = calls.filter((call) => call.method === method).at(-1);
  if (!found) throw new Error(`no ${method} was sent`);
  return found;
}

const mine = (state: string, more: object = {}) => ({
  state,
  version: 0,
  server_time_ms: 1,
  extended: false,
  ...more,
});

beforeEach(() => {
  calls = page();
  credentials.token = () => session.peek()?.token ?? null;
  credentials.refused = () => {
    session.value = null;
    sessionEnded.value = true;
  };
  signIn(1);
});

afterEach(() => {
  stop();
  session.value = null;
  vi.unstubAllGlobals();
});

describe("a press", () => {
  it("whose answer breaks off is sent again, and says that nobody answered", async () => {
    const buyer = started();
    await (await pressed(buyer)).cut(202);
    expect(buyer.purchase.value.press).toMatchObject({ step: "waiting", code: "offline" });
    await vi.waitFor(() => expect(calls).toHaveLength(2));
    await last("POST").answer(202, { request_id: RID, state: "queued" });
    expect(buyer.purchase.value).toMatchObject({ pending: RID, press: { step: "idle" } });
  });

  it("whose verdict came first is not sent again when its answer is lost", async () => {
    const buyer = started();
    const sent = await pressed(buyer);
    buyer.told({ state: "sold_out", version: 0, request_id: RID });
    await sent.fail();
    expect(buyer.purchase.value).toMatchObject({
      place: { state: "sold_out" },
      press: { step: "idle" },
    });
  });

  it("of somebody who has left meanwhile is not the next one's", async () => {
    const buyer = started();
    const sent = await pressed(buyer);
    signIn(2);
    await sent.answer(202, { request_id: RID, state: "queued" });
    expect(buyer.purchase.value).toMatchObject({ pending: null, place: { state: "none" } });
    signIn(1); // back again: the request waits for its owner
    expect(buyer.purchase.value.pending).toBe(RID);
  });
});

describe("an answer about a place", () => {
  it("is not shown to who has signed in since it was asked for", async () => {
    const buyer = started();
    const asking = buyer.ask();
    signIn(2);
    await last("GET").answer(200, mine("held", { version: 3, checkout_token: "ada's" }));
    await asking;
    expect(buyer.purchase.value.place.state).toBe("none");
  });

  it("of the gateway is not shown to them either", async () => {
    let answer: (told: Told) => void = () => undefined;
    const buyer = started(() => new Promise((resolve) => (answer = resolve)));
    buyer.connected(true);
    signIn(2);
    answer({ state: "standby", version: 3, position: 1 });
    await settle();
    expect(buyer.purchase.value.place.state).toBe("none");
  });

  it.each([
    ["an earlier hold that ended", mine("expired", { version: 5, request_id: "older.0" })],
    ["no place at all", mine("none")],
  ])("ends the waiting for a request that came to %s", async (_, answer) => {
    localStorage.setItem("miaosha.request.1.7", RID); // pressed, left, and back much later
    const buyer = started();
    expect(buyer.purchase.value.pending).toBe(RID);
    const asking = buyer.ask();
    await last("GET").answer(200, answer);
    await asking;
    expect(buyer.purchase.value).toMatchObject({ pending: null, place: { state: answer.state } });
    expect(localStorage.getItem("miaosha.request.1.7")).toBeNull();
  });

  it("tells a place on standby that the shop has lost", async () => {
    const buyer = started(async () => ({ state: "none", version: 0 }));
    buyer.told({ state: "standby", version: 2, request_id: RID, position: 9 });
    buyer.connected(true);
    await settle();
    await last("GET").answer(200, mine("none"));
    expect(buyer.purchase.value.place.state).toBe("none");
  });

  it("does not take a place that was given after it was asked for", async () => {
    const buyer = started();
    const asking = buyer.ask();
    buyer.told({ state: "standby", version: 2, request_id: RID, position: 9 });
    await last("GET").answer(200, mine("none"));
    await asking;
    expect(buyer.purchase.value.place.state).toBe("standby");
  });
});

describe("a refused token", () => {
  const refused = { code: "unauthorized", status: 401, title: "", detail: "" };

  it("ends the session it belongs to", async () => {
    const asking = request("GET", "/orders").catch(() => undefined);
    await last("GET").answer(401, refused);
    await asking;
    expect(session.value).toBeNull();
  });

  it("does not end a session that began since", async () => {
    const asking = request("GET", "/orders").catch(() => undefined);
    signIn(1, "fresh");
    await last("GET").answer(401, refused);
    await asking;
    expect(session.value?.token).toBe("fresh");
  });

  it("of a hold does not sign its buyer out, but is asked for anew", async () => {
    const buyer = started();
    const held = { version: 1, request_id: RID, pay_by_ms: Number.MAX_SAFE_INTEGER };
    buyer.told({ state: "held", checkout_token: "old", ...held });
    const paying = pay(buyer, {} as Parameters<typeof pay>[1]);
    await last("POST").answer(401, refused);
    await last("GET").answer(200, mine("held", { checkout_token: "new", ...held }));
    expect(await paying).toEqual({ kind: "undone" });
    expect(session.value).not.toBeNull();
    expect(buyer.purchase.value.place.checkoutToken).toBe("new");
  });
});
