import { describe, expect, it } from "vitest";
import {
  type Happening,
  next,
  type Purchase,
  START,
  type Told,
  toldBy,
} from "../src/purchase/machine";

const RID = "0192-batch.3";

function given(...what: Happening[]): Purchase {
  return what.reduce(next, START);
}

function told(news: Partial<Told> & Pick<Told, "state">): Happening {
  return { kind: "told", told: { version: 0, ...news } };
}

const pressed: Happening = { kind: "pressed" };
const accepted: Happening = { kind: "accepted", requestId: RID };
const held = told({
  state: "held",
  version: 1,
  request_id: RID,
  pay_by_ms: 5_000,
  checkout_token: "token",
});

describe("a press", () => {
  it("is sent, accepted and queued", () => {
    expect(given(pressed).press.step).toBe("sending");
    const queued = given(pressed, accepted);
    expect(queued).toMatchObject({ pending: RID, press: { step: "idle" } });
    expect(queued.place.state).toBe("queued");
  });

  it("that is postponed says until when and how often it was tried", () => {
    const wait: Happening = { kind: "postponed", untilMs: 9, tries: 2, code: "overloaded" };
    expect(given(pressed, wait).press).toEqual({
      step: "waiting",
      untilMs: 9,
      tries: 2,
      code: "overloaded",
    });
  });

  it("with a wrong answer may be made again", () => {
    const wrong = given(pressed, { kind: "refused", code: "wrong_answer" });
    expect(wrong).toMatchObject({ press: { step: "idle" }, refusal: "wrong_answer" });
    expect(next(wrong, pressed).refusal).toBeNull();
  });

  it("refused as sold out ends the request without a place", () => {
    expect(given(pressed, { kind: "refused", code: "sold_out" }).place.state).toBe("sold_out");
  });

  it("refused as sold out says nothing of a place that is there", () => {
    const still = given(held, pressed, { kind: "refused", code: "sold_out" });
    expect(still.place.state).toBe("held");
  });
});

describe("a verdict", () => {
  it.each(["held", "standby"] as const)("%s ends the waiting", (state) => {
    const won = given(pressed, accepted, told({ state, version: 1, request_id: RID }));
    expect(won).toMatchObject({ pending: null, place: { state } });
  });

  it("sold out, of our request, ends the waiting", () => {
    const lost = given(pressed, accepted, told({ state: "sold_out", request_id: RID }));
    expect(lost).toMatchObject({ pending: null, place: { state: "sold_out" } });
  });

  it("of another request is not ours", () => {
    const waiting = given(pressed, accepted, told({ state: "sold_out", request_id: "other.0" }));
    expect(waiting.pending).toBe(RID);
  });

  it("that overtakes the answer to the press stands", () => {
    const won = given(pressed, held, accepted);
    expect(won).toMatchObject({ pending: null, place: { state: "held" } });
    const lost = given(pressed, told({ state: "sold_out", request_id: RID }), accepted);
    expect(lost).toMatchObject({ pending: null, place: { state: "sold_out" } });
  });

  it("ends a press that is being repeated", () => {
    const wait: Happening = { kind: "postponed", untilMs: 9, tries: 1, code: "timeout" };
    expect(given(pressed, wait, held).press.step).toBe("idle");
  });

  it("is not undone by a `none` that was asked for before the press", () => {
    expect(given(pressed, accepted, told({ state: "none" })).pending).toBe(RID);
  });
});

describe("versions", () => {
  it("drop what is older than what is known", () => {
    const late = told({ state: "standby", version: 1, request_id: RID, position: 4 });
    const won = told({ state: "held", version: 2, request_id: RID });
    expect(given(won, late).place.state).toBe("held");
  });

  it("let a position be followed", () => {
    const places = [9, 7, 5].map((position) =>
      told({ state: "standby", version: 1, request_id: RID, position }),
    );
    expect(given(...places).place.position).toBe(5);
  });

  it("of the same place keep what a shorter answer leaves out", () => {
    const lookup = told({ state: "held", version: 1, request_id: RID });
    expect(given(held, lookup).place).toMatchObject({ checkoutToken: "token", payByMs: 5_000 });
  });

  it("let a standby line that is drained read closed", () => {
    const line = told({ state: "standby", version: 3, request_id: RID });
    expect(given(line, told({ state: "closed", version: 3 })).place.state).toBe("closed");
  });

  it.each([0, 3])("let a sale that is over have no standby again (version %i)", (version) => {
    const over = told({ state: "closed", version, request_id: RID });
    const late = told({ state: "standby", version: 3, request_id: RID });
    expect(given(pressed, accepted, over, late).place.state).toBe("closed");
  });

  it("tell an expired hold, and let its buyer press again from there", () => {
    const expired = told({ state: "expired", version: 2, request_id: RID });
    const again = given(held, expired, pressed, { kind: "accepted", requestId: "new.0" });
    expect(again).toMatchObject({ pending: "new.0", place: { state: "queued", version: 2 } });
    expect(next(again, expired).pending).toBe("new.0"); // the old place is told once more
    const won = next(again, told({ state: "held", version: 3, request_id: "new.0" }));
    expect(won.place.state).toBe("held");
  });
});

describe("another tab", () => {
  it("shares its accepted request", () => {
    expect(given({ kind: "adopted", requestId: RID })).toMatchObject({ pending: RID });
  });

  it("does not disturb a place that is there", () => {
    expect(given(held, { kind: "adopted", requestId: "new.0" }).place.state).toBe("held");
  });

  it("that has its verdict leaves ours to be told", () => {
    expect(given(pressed, accepted, { kind: "adopted", requestId: null }).pending).toBe(RID);
  });
});

describe("paying", () => {
  it("is not taken for held by a lookup that cannot tell", () => {
    const paying = told({ state: "paying", version: 2, request_id: RID });
    const lookup = told({ state: "held", version: 2, request_id: RID });
    expect(given(held, paying, lookup).place.state).toBe("paying");
  });

  it("that was refused is held again with a token", () => {
    const paying = told({ state: "paying", version: 2, request_id: RID });
    const back = told({ state: "held", version: 3, request_id: RID, checkout_token: "t2" });
    expect(given(held, paying, back).place).toMatchObject({ state: "held", checkoutToken: "t2" });
  });

  it("is told with its order", () => {
    const mine = { state: "paid", version: 4, server_time_ms: 1, order_id: "o", request_id: RID };
    const paid = given(held, { kind: "told", told: toldBy(mine as Parameters<typeof toldBy>[0]) });
    expect(paid.place).toMatchObject({ state: "paid", orderId: "o", checkoutToken: null });
  });
});
