// What is typed into the console's forms, and files chosen for pictures.
import { describe, expect, it, vi } from "vitest";
import {
  amountText,
  dayClock,
  fieldMs,
  fieldTime,
  minorUnits,
  span,
  whole,
} from "../../src/admin/format";
import { productDraft, productField, readProduct } from "../../src/admin/products/form";
import { choosePicture, kindOf, PICTURE_MAX_BYTES } from "../../src/admin/products/pictureFile";
import { draftOf, fieldOf, read, withoutChoice } from "../../src/admin/sales/form";
import type { Product } from "../../src/admin/server";
import { query } from "../../src/api/query";
import { remaining } from "../../src/clock/countdown";

const NOW = Date.UTC(2030, 0, 2, 3, 4, 5);

const two = [
  { key: "a", text: "one" },
  { key: "b", text: "two" },
];

function filled() {
  const draft = draftOf(null, NOW);
  return {
    ...draft,
    product_id: "3",
    title: " Lamps ",
    amount: "19.90",
    questions: [{ text: "How many?", choices: two, right: 1 }],
  };
}

describe("a sale's form", () => {
  it("becomes the terms", () => {
    const result = read(filled(), null);
    if (!("body" in result)) throw new Error(JSON.stringify(result.errors));
    expect(result.body).toMatchObject({
      product_id: 3,
      title: "Lamps",
      price: { amount: 1990, currency: "USD" },
      stock: 100,
      pay_within_s: 600,
      standby_limit: null,
      questions: [{ text: "How many?", answer: "b", choices: [{ key: "a" }, { key: "b" }] }],
    });
    expect(result.body.closes_at_ms - result.body.opens_at_ms).toBe(3_600_000);
  });

  it("names every field that is wrong as the API does", () => {
    const result = read(
      { ...draftOf(null, NOW), stock: "0", pay_within: "x", closes_at: "" },
      null,
    );
    expect("errors" in result && Object.keys(result.errors).sort()).toEqual([
      "closes_at_ms",
      "pay_within_s",
      "price",
      "product_id",
      "questions[0].choices[0].text",
      "questions[0].choices[1].text",
      "questions[0].text",
      "stock",
      "title",
    ]);
  });

  it("closes after it opens", () => {
    const draft = filled();
    const result = read({ ...draft, closes_at: draft.opens_at }, null);
    expect(result).toEqual({ errors: { closes_at_ms: "wrong.before" } });
  });

  it("puts the server's errors where they belong", () => {
    expect(fieldOf("price.amount")).toBe("price");
    expect(fieldOf("questions[1].text")).toBe("questions[1].text");
    for (const name of ["mode", "questions", "", null]) expect(fieldOf(name)).toBe("form");
  });
});

describe("a question's choices", () => {
  const choices = [...two, { key: "c", text: "three" }];

  it.each([
    [0, 2, 1], // the right one moves up
    [2, 0, 0],
    [1, 1, 0], // the right one itself: the first is right now
  ])("lose number %i of which %i is right", (at, right, then) => {
    const left = withoutChoice({ text: "How many?", choices, right }, at);
    expect(left.choices).toHaveLength(2);
    expect(left.choices).not.toContain(choices[at]);
    expect(left.right).toBe(then);
  });
});

describe("a product's form", () => {
  const list_price = { amount: 1990, currency: "BHD" };
  const lamp = { name: "Lamp", description: "It glows.", list_price } as Product;

  it("becomes the body, and leaves a price that nobody touched", () => {
    const draft = { ...productDraft(lamp), name: "Moon lamp" };
    const body = { name: "Moon lamp", description: "It glows.", list_price };
    expect(readProduct(draft, lamp)).toEqual({ body });
    const dollars = { ...draft, amount: "5", currency: "USD" };
    expect(readProduct(dollars, lamp)).toMatchObject({
      body: { list_price: { amount: 500, currency: "USD" } },
    });
  });

  it("names what is wrong as the API does", () => {
    const errors = { name: "wrong.empty", list_price: "wrong.amount" };
    expect(readProduct(productDraft(null), null)).toEqual({ errors });
    expect(["list_price.amount", "description", "version", null].map(productField)).toEqual([
      "list_price",
      "description",
      "form",
      "form",
    ]);
  });
});

describe("amounts", () => {
  it.each([
    ["19.90", "USD", 1990],
    ["19,9", "EUR", 1990],
    ["7", "USD", 700],
    ["1500", "JPY", 1500],
    ["15.5", "JPY", null],
    ["1.234", "USD", null],
    ["-1", "USD", null],
    ["", "USD", null],
    ["1e3", "USD", null],
    ["1,234.50", "USD", 123_450],
    ["1.234,50", "EUR", 123_450],
    ["1 234,50", "EUR", 123_450],
    ["1,234,567", "USD", 123_456_700],
    ["1,234", "USD", null], // a thousand dollars, or one
    ["1,500", "JPY", 1500],
    ["NT$ 1,200", "JPY", 1200],
    ["NT$1,234.5", "TWD", 123_450],
    ["19.90 €", "EUR", 1990],
    ["USD 19.90", "USD", 1990],
    ["１９．９０", "USD", 1990],
    ["١٩٫٩٠", "USD", 1990],
    ["10000000000.00", "USD", 10 ** 12],
    ["10000000000.01", "USD", null],
    ["1,23,4", "USD", null],
    ["1.2.3", "USD", null],
  ])("%s %s", (text, currency, amount) => {
    expect(minorUnits(text, currency)).toBe(amount);
  });

  it("are written as they are typed", () => {
    expect(amountText({ amount: 1990, currency: "USD" })).toBe("19.90");
    expect(amountText({ amount: 1500, currency: "JPY" })).toBe("1500");
  });
});

describe("numbers", () => {
  it.each([
    ["100", 100],
    [" 1,000 ", 1000],
    ["1.000", 1000],
    ["1 000 000", 1_000_000],
    ["１００", 100],
    ["١٠٠", 100],
    ["1,00", null],
    ["1.5", null],
    ["0", null],
    ["-1", null],
    ["1000001", null],
    ["", null],
  ])("%j", (text, value) => {
    expect(whole(text, 1, 1_000_000)).toBe(value);
  });
});

describe("times", () => {
  it("come back from a field as they went in, to the second", () => {
    expect(fieldMs(fieldTime(NOW))).toBe(NOW);
    expect(fieldMs("")).toBeNull();
    expect(fieldMs("soon")).toBeNull();
  });

  it("are short", () => {
    const shown = (ms: number) => dayClock(remaining(ms, 0));
    expect([shown(-5), shown(61_000), shown(3_661_000), shown(90_061_000)]).toEqual([
      "0:00",
      "1:01",
      "1:01:01",
      "1d 01:01:01",
    ]);
    expect([span(84), span(3_210), span(250_000), span(7_260_000)]).toEqual([
      "84 ms",
      "3.2 s",
      "4 min 10 s",
      "2 h 1 min",
    ]);
  });
});

describe("a picture", () => {
  const bytes = (...values: number[]) => new Uint8Array(values);
  const png = bytes(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);

  it("is what its first bytes say", () => {
    expect(kindOf(png)).toBe("image/png");
    expect(kindOf(bytes(0xff, 0xd8, 0xff, 0xe0))).toBe("image/jpeg");
    expect(kindOf(new TextEncoder().encode("RIFF1234WEBPVP8 "))).toBe("image/webp");
    expect(kindOf(new TextEncoder().encode("\0\0\0\x18ftypheic\0\0\0\0"))).toBe("image/heic");
    expect(kindOf(new TextEncoder().encode("\0\0\0\x18ftypisom\0\0\0\0"))).toBeNull();
    expect(kindOf(new TextEncoder().encode("<svg onload=…>"))).toBeNull();
    expect(kindOf(bytes())).toBeNull();
  });

  it("is refused when it is too large or of another kind, before it is sent", async () => {
    expect(await choosePicture(new Blob([new Uint8Array(PICTURE_MAX_BYTES + 1)]))).toBe(
      "picture.too_large",
    );
    expect(await choosePicture(new Blob(["hello"], { type: "image/png" }))).toBe(
      "picture.wrong_kind",
    );
    const decoding = vi.fn(() => Promise.reject(new Error("cut")));
    vi.stubGlobal("createImageBitmap", decoding);
    expect(await choosePicture(new Blob([png]))).toBe("picture.broken");
    const heic = new Blob(["\0\0\0\x18ftypheic\0\0\0\0"]);
    expect(await choosePicture(heic)).toMatchObject({ preview: "" });
    vi.stubGlobal("createImageBitmap", async () => ({
      width: 9_000,
      height: 9_000,
      close: vi.fn(),
    }));
    expect(await choosePicture(new Blob([png]))).toBe("picture.too_many_pixels");
    vi.unstubAllGlobals();
  });
});

it("a query leaves out what is empty", () => {
  expect(query({ q: "a b", cursor: null, state: "", limit: 5 })).toBe("?q=a+b&limit=5");
  expect(query({})).toBe("");
});
