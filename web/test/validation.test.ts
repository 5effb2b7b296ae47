import { describe, expect, it } from "vitest";
import { afterwards, signPath } from "../src/session/afterwards";
import { expiryMs } from "../src/session/expiry";
import * as typed from "../src/ui/typed";
import * as fields from "../src/ui/validation";
import examples from "./typed.json";

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
    expect(fields.spacedCard("４２４２-4242")).toBe("4242 4242");
    const shown = {
      1: "1",
      4: "04",
      12: "12",
      123: "12/3",
      1230: "12/30",
      13: "01/3",
      130: "01/30",
      "1/": "01/",
      "01/": "01/",
      "01/3": "01/3",
    };
    for (const [text, masked] of Object.entries(shown)) {
      expect(fields.slashedExpiry(text), text).toBe(masked);
    }
  });

  it("drops nothing that was typed or pasted", () => {
    for (const text of ["12/2030", "12 / 2030", "12/203", "2030-12", "Dec 30"]) {
      expect(fields.slashedExpiry(text)).toBe(text);
    }
    expect(fields.spacedCard("4242x")).toBe("4242x");
    const long = "4".repeat(30);
    expect(fields.spacedCard(long).replace(/ /g, "")).toBe(long);
  });

  it.each([1, 2, 3, 4, 5, 6, 7])("goes on after %i characters of 12/2030", (length) => {
    const text = "12/2030".slice(0, length);
    expect("12/2030".startsWith(fields.slashedExpiry(text))).toBe(true);
  });

  it("takes what the API takes", () => {
    expect(fields.phone("+886 2 1234-5678")).toBeNull();
    expect(fields.phone("call me")).toBe("error.phone");
    expect(fields.email("ada＠example.org ")).toBeNull();
    expect(fields.email("ada@example")).toBe("error.email");
    expect(fields.email("a b@example.org")).toBe("error.email");
    expect(fields.newPassword("x".repeat(128))).toBeNull();
    expect(fields.newPassword("x".repeat(129))).toBe("error.password");
    expect(fields.expiry(0)("1 / 2030")).toBeNull();
    expect(fields.cvc("１２３")).toBeNull();
  });
});

describe("what a person typed", () => {
  const readers: Record<string, (text: string) => string | null> = {
    card_number: typed.cardNumber,
    card_expiry: typed.cardExpiry,
    card_code: typed.cardCode,
    phone_number: typed.phoneNumber,
    email_address: typed.emailAddress,
  };
  const all = Object.entries(examples).flatMap(([what, pairs]) =>
    pairs.map(([text, meant]) => [what, text, meant] as const),
  );
  it.each(all)("%s %j is %j", (what, text, meant) => {
    expect(readers[what]?.(text ?? "")).toBe(meant);
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
  it("is named in the way there, but for the forms themselves", () => {
    expect(signPath("/sales/7")).toBe("/sign-in?next=%2Fsales%2F7");
    expect(signPath("/sales/7", "/sign-up")).toBe("/sign-up?next=%2Fsales%2F7");
    expect(signPath("/sign-up")).toBe("/sign-in?next=%2F");
  });

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
