// What nobody touched in a form is sent back as it came, though its field shows less.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fieldMs, fieldTime } from "../../src/admin/format";
import { draftOf, instant, newChoice, read } from "../../src/admin/sales/form";
import type { AdminSale } from "../../src/admin/server";

// In Berlin 02:30 comes twice on 25 October 2026: at 00:30 and at 01:30 UTC.
const FIRST = Date.UTC(2026, 9, 25, 0, 30);
const SECOND = Date.UTC(2026, 9, 25, 1, 30);

const before = process.env.TZ;
beforeAll(() => {
  process.env.TZ = "Europe/Berlin";
});
afterAll(() => {
  if (before === undefined) delete process.env.TZ;
  else process.env.TZ = before;
});

function sale(terms: object = {}): AdminSale {
  return {
    id: 7,
    phase: "draft",
    stored_phase: "draft",
    version: "v",
    sale: {
      id: 7,
      title: "Lamps",
      mode: "fifo",
      phase: "draft",
      product: { id: 3, name: "Lamp", description: "", picture_url: "", list_price: price(1) },
      price: price(1990),
      stock: 100,
      opens_at_ms: SECOND + 123,
      closes_at_ms: SECOND + 3_600_456,
      pay_within_s: 600,
      standby_pay_within_s: 300,
      standby_limit: 1000,
      questions: [
        {
          id: 1,
          text: "How many?",
          choices: [
            { key: "yes", text: "one" },
            { key: "no", text: "two" },
          ],
          answer: "no",
        },
      ],
      frozen: null,
      settled_at_ms: null,
      ...terms,
    },
  } as unknown as AdminSale;
}

const price = (amount: number, currency = "USD") => ({ amount, currency });

function bodyOf(found: AdminSale, change: object = {}) {
  const result = read({ ...draftOf(found, 0), ...change }, found);
  if (!("body" in result)) throw new Error(JSON.stringify(result.errors));
  return result.body;
}

describe("saving only the title", () => {
  it("is tried where an hour comes twice", () => {
    expect(fieldTime(FIRST)).toBe(fieldTime(SECOND));
    expect(fieldMs(fieldTime(SECOND))).toBe(FIRST); // what the field alone would say
  });

  it.each([FIRST, SECOND])("leaves the times to the millisecond (%i)", (opens) => {
    const found = sale({ opens_at_ms: opens + 7, closes_at_ms: opens + 3_600_008 });
    const body = bodyOf(found, { title: "Better lamps" });
    expect(body.title).toBe("Better lamps");
    expect([body.opens_at_ms, body.closes_at_ms]).toEqual([opens + 7, opens + 3_600_008]);
  });

  it("leaves every other term", () => {
    const { product, ...terms } = sale().sale;
    expect(bodyOf(sale(), { title: "Better lamps" })).toEqual({
      title: "Better lamps",
      product_id: product.id,
      price: terms.price,
      stock: terms.stock,
      opens_at_ms: terms.opens_at_ms,
      closes_at_ms: terms.closes_at_ms,
      pay_within_s: terms.pay_within_s,
      standby_pay_within_s: terms.standby_pay_within_s,
      standby_limit: terms.standby_limit,
      mode: terms.mode,
      questions: terms.questions.map(({ id: _, ...question }) => question),
    });
  });

  it("leaves the dearest price, and one in a currency of other decimals", () => {
    for (const own of [price(10 ** 12), price(10 ** 12, "JPY"), price(1990, "BHD")]) {
      expect(bodyOf(sale({ price: own })).price).toEqual(own);
    }
  });
});

describe("what was touched", () => {
  it("is read from the field", () => {
    const body = bodyOf(sale(), { opens_at: "2026-10-24T12:00", amount: "5", stock: "7" });
    expect(body.opens_at_ms).toBe(Date.UTC(2026, 9, 24, 10));
    expect(body.closes_at_ms).toBe(SECOND + 3_600_456);
    expect([body.price, body.stock]).toEqual([price(500), 7]);
  });

  it("and put back is the sale's again", () => {
    const draft = { ...draftOf(sale(), 0), opens_at: "2026-10-24T12:00" };
    expect(instant(draft, sale(), "opens_at")).toBe(Date.UTC(2026, 9, 24, 10));
    const back = { ...draft, opens_at: fieldTime(SECOND) };
    expect(instant(back, sale(), "opens_at")).toBe(SECOND + 123);
  });

  it("of a question leaves the keys of its choices", () => {
    const [question] = draftOf(sale(), 0).questions;
    if (!question) throw new Error("no question");
    const choices = [...question.choices, newChoice(question.choices)];
    const changed = { ...question, choices: choices.map((c) => ({ ...c, text: c.text || "x" })) };
    const [sent] = bodyOf(sale(), { questions: [changed] }).questions;
    expect(sent?.choices.map((choice) => choice.key)).toEqual(["yes", "no", "a"]);
    expect(sent?.answer).toBe("no");
  });
});
