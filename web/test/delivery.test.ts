// Delivery details belong to one person, on one device, until they sign out.
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { delivery, saveDelivery } from "../src/session/delivery";
import { session, signOut } from "../src/session/session";
import { page } from "./page";

const ADA = { name: "Ada", phone: "+44 1", address: "12 St James's Square" };
const NOTHING = { name: "", phone: "", address: "" };

function signIn(id: number): void {
  const user = { id, name: "A", email: "a@example.com", role: "buyer" };
  session.value = { token: `token-${id}`, user, expiresAtMs: Number.MAX_SAFE_INTEGER };
}

beforeEach(() => void page());
afterEach(() => {
  session.value = null;
  vi.unstubAllGlobals();
});

it("is there again when its owner's session had ended", () => {
  signIn(1);
  saveDelivery(ADA);
  session.value = null;
  expect(delivery.value).toEqual(NOTHING);
  signIn(1);
  expect(delivery.value).toEqual(ADA);
});

it("is not shown to the next person at this device", () => {
  signIn(1);
  saveDelivery(ADA);
  session.value = null; // ended, not signed out
  signIn(2);
  expect(delivery.value).toEqual(NOTHING);
});

it("is gone when its owner has signed out", () => {
  signIn(1);
  saveDelivery(ADA);
  signOut();
  signIn(1);
  expect(delivery.value).toEqual(NOTHING);
});
