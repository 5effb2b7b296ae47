// Paying, whatever becomes of the answer: a lost one is looked up, never assumed, and pressing twice
// leads to the one order.
import { request } from "../api/client";
import { problemOf } from "../api/problem";
import type { ActionNeeded, CheckoutBody, Order } from "../api/types";
import type { Buyer } from "./buyer";

const TIMEOUT_MS = 45_000; // a slow card takes its time
const LOOKS_MAX = 60;
const LOOK_EVERY_MS = 1_500;

export type PaymentOutcome =
  | { kind: "order"; orderId: string }
  | { kind: "redirect"; url: string }
  | { kind: "refused" }
  /** Nothing was charged, and nobody refused: the same may be sent again. */
  | { kind: "undone" }
  | { kind: "field"; field: string; message: string }
  | { kind: "expired" }
  | { kind: "failed"; code: string };

export async function pay(buyer: Buyer, body: CheckoutBody): Promise<PaymentOutcome> {
  buyer.checkingOut.value = true;
  try {
    return await sent(buyer, body);
  } finally {
    buyer.checkingOut.value = false;
  }
}

async function sent(buyer: Buyer, body: CheckoutBody): Promise<PaymentOutcome> {
  try {
    const path = `/sales/${buyer.saleId}/checkout`;
    const answer = await request<Order | ActionNeeded>("POST", path, {
      body,
      timeoutMs: TIMEOUT_MS,
      ownToken: true,
    });
    if ("requires_action" in answer) return redirect(answer.requires_action.redirect_url);
    return { kind: "order", orderId: answer.id };
  } catch (error) {
    const problem = problemOf(error);
    // a refused token: either the session's, and asking ends it, or the hold's, and asking renews it
    const look = ["payment_in_progress", "unauthorized"].includes(problem.code);
    if (problem.passing || look) return settled(buyer);
    if (problem.code === "payment_refused") {
      await buyer.ask(); // the fifth refusal ends the hold
      return buyer.purchase.peek().place.state === "held"
        ? { kind: "refused" }
        : { kind: "expired" };
    }
    if (problem.code === "hold_expired") {
      await buyer.ask();
      return { kind: "expired" };
    }
    if (problem.field) return { kind: "field", field: problem.field, message: problem.message };
    return { kind: "failed", code: problem.code };
  }
}

function redirect(url: string): PaymentOutcome {
  const target = new URL(url, location.origin);
  const known = target.protocol === "https:" || target.protocol === "http:";
  return known ? { kind: "redirect", url: target.href } : { kind: "failed", code: "internal" };
}

/** Wait until the payment that is under way, or whose answer was lost, has come to something. */
async function settled(buyer: Buyer): Promise<PaymentOutcome> {
  for (let looks = 0; looks < LOOKS_MAX; looks += 1) {
    const failed = await buyer.ask();
    const { state, orderId } = buyer.purchase.peek().place;
    if (state === "paid" && orderId) return { kind: "order", orderId };
    if (!failed && state === "held") return { kind: "undone" };
    if (!failed && state !== "paying" && state !== "paid") return { kind: "expired" };
    await new Promise((resume) => setTimeout(resume, LOOK_EVERY_MS));
  }
  return { kind: "failed", code: "payment_in_progress" };
}
