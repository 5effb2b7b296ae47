import { describe, expect, it } from "vitest";
import { afterwards } from "../src/session/afterwards";
import { expiryMs } from "../src/session/expiry";
import * as fields from "../src/ui/validation";

describe("a field", () => {
  it("takes the sandbox's cards, and no number with a slip in it", () => {
    for (const card of ["4242 4242 4242 4242", "4000000000000002", "4000 0000 0000 3220"]) {
      expect(fields.card(card), card).toBeNull();
    }
    expect(fields.card("4242 4242 4242 4243")).toBe("error.card");
    expect(fields.card("")).toBe("error.required");
  });

  it("takes a card until the end of its month", () => {
    const check = fields.expiry(Date.UTC(2026, 11, 31, 23));
    expect(check("12/26")).toBeNull();
    expect(check("11/26")).toBe("error.expired-card");
    expect(check("13/27")).toBe("error.expiry");
  });

  it("writes what is typed as it is printed on a card", () => {
    expect(fields.spacedCard("42424242424")).toBe("4242 4242 424");
    expect(["1", "4", "12", "123", "1230"].map(fields.slashedExpiry)).toEqual([
      "1",
      "04",
      "12",
      "12/3",
      "12/30",
    ]);
  });

  it("knows what the API takes as phone and e-mail", () => {
    expect(fields.phone("+886 2 1234-5678")).toBeNull();
    expect(fields.phone("call me")).toBe("error.phone");
    expect(fields.email("ada@example.org")).toBeNull();
    expect(fields.email("ada@example")).toBe("error.email");
  });
});

describe("a token", () => {
  it("says when it ends", () => {
    const claims = btoa(JSON.stringify({ exp: 1_800_000_000 })).replace(/=+$/, "");
    expect(expiryMs(`x.${claims}.y`)).toBe(1_800_000_000_000);
    expect(expiryMs("garbage")).toBeNull();
    expect(expiryMs("a.b.c")).toBeNull();
  });
});

describe("the way back after signing in", () => {
  it.each([
    ["next=%2Fsales%2F7", "/sales/7"],
    ["", "/"],
    ["next=https%3A%2F%2Fevil.example%2F", "/"],
    ["next=%2F%2Fevil.example", "/"],
    ["next=%2F%5Cevil.example", "/"],
  ])("%s leads to %s", (query, path) => {
    Object.assign(globalThis, { location: { origin: "https://shop.example" } });
    expect(afterwards(query)).toBe(path);
  });
});
