// What is typed into the form of a sale, and how it becomes the terms the API takes. Errors have the
// names of the API's fields, so that what the server says finds its place too.
import { amountText, fieldMs, fieldTime, minorUnits } from "../format";
import type { AdminSale, SaleBody } from "../server";
import type { Key } from "../text";

export interface QuestionDraft {
  text: string;
  choices: string[];
  /** Index of the right choice. */
  right: number;
}

export interface Draft {
  product_id: string;
  title: string;
  amount: string;
  currency: string;
  stock: string;
  opens_at: string;
  closes_at: string;
  pay_within: string;
  standby_pay_within: string;
  standby_limit: string;
  questions: QuestionDraft[];
}

export type Errors = Record<string, Key>;

const HOUR_MS = 3_600_000;
const KEYS = "abcdefghij";
export const CHOICES_MAX = KEYS.length;
export const QUESTIONS_MAX = 50;
const STOCK_MAX = 1_000_000;
const PAY_MAX_S = 604_800;
const STANDBY_MAX = 10_000_000;

export const newQuestion = (): QuestionDraft => ({ text: "", choices: ["", ""], right: 0 });

/** Terms to start from: the sale's own, or a sale tomorrow at the full hour. */
export function draftOf(sale: AdminSale | null, nowMs: number): Draft {
  if (!sale) {
    const opens = Math.ceil((nowMs + 24 * HOUR_MS) / HOUR_MS) * HOUR_MS;
    return {
      product_id: "",
      title: "",
      amount: "",
      currency: "USD",
      stock: "100",
      opens_at: fieldTime(opens),
      closes_at: fieldTime(opens + HOUR_MS),
      pay_within: "600",
      standby_pay_within: "",
      standby_limit: "",
      questions: [newQuestion()],
    };
  }
  const terms = sale.sale;
  return {
    product_id: String(terms.product.id),
    title: terms.title,
    amount: amountText(terms.price),
    currency: terms.price.currency,
    stock: String(terms.stock),
    opens_at: fieldTime(terms.opens_at_ms),
    closes_at: fieldTime(terms.closes_at_ms),
    pay_within: String(terms.pay_within_s),
    standby_pay_within: String(terms.standby_pay_within_s),
    standby_limit: String(terms.standby_limit),
    questions: terms.questions.map((question) => ({
      text: question.text,
      choices: question.choices.map((choice) => choice.text),
      right: Math.max(
        0,
        question.choices.findIndex((choice) => choice.key === question.answer),
      ),
    })),
  };
}

function whole(text: string, low: number, high: number): number | null {
  const value = /^\d{1,9}$/.test(text.trim()) ? Number(text) : Number.NaN;
  return value >= low && value <= high ? value : null;
}

/** The terms, or what is wrong by field. */
export function read(draft: Draft): { body: SaleBody } | { errors: Errors } {
  const errors: Errors = {};
  const need = <T>(field: string, value: T | null, key: Key): T => {
    if (value === null) errors[field] = key;
    return value as T;
  };
  const optional = (field: string, text: string, low: number, high: number) =>
    text.trim() === "" ? null : need(field, whole(text, low, high), "wrong.number");
  const opens = need("opens_at_ms", fieldMs(draft.opens_at), "wrong.time");
  const closes = need("closes_at_ms", fieldMs(draft.closes_at), "wrong.time");
  if (opens !== null && closes !== null && closes <= opens) errors.closes_at_ms = "wrong.before";
  const body: SaleBody = {
    product_id: need("product_id", whole(draft.product_id, 1, 999_999_999), "wrong.product"),
    title: need("title", draft.title.trim() || null, "wrong.empty"),
    price: {
      amount: need("price", minorUnits(draft.amount, draft.currency), "wrong.amount"),
      currency: draft.currency,
    },
    stock: need("stock", whole(draft.stock, 1, STOCK_MAX), "wrong.number"),
    opens_at_ms: opens,
    closes_at_ms: closes,
    pay_within_s: need("pay_within_s", whole(draft.pay_within, 1, PAY_MAX_S), "wrong.number"),
    standby_pay_within_s: optional("standby_pay_within_s", draft.standby_pay_within, 1, PAY_MAX_S),
    standby_limit: optional("standby_limit", draft.standby_limit, 0, STANDBY_MAX),
    questions: draft.questions.map((question, i) => readQuestion(question, i, errors)),
    mode: "fifo",
  };
  return Object.keys(errors).length ? { errors } : { body };
}

function readQuestion(question: QuestionDraft, number: number, errors: Errors) {
  const field = `questions[${number}]`;
  if (!question.text.trim()) errors[`${field}.text`] = "wrong.empty";
  for (const [i, text] of question.choices.entries()) {
    if (!text.trim()) errors[`${field}.choices[${i}].text`] = "wrong.empty";
  }
  return {
    text: question.text,
    choices: question.choices.map((text, i) => ({ key: KEYS[i] ?? String(i), text })),
    answer: KEYS[question.right] ?? "a",
  };
}

/** Where an error of the server belongs; "form" if no field of the form has that name. */
export function fieldOf(name: string | null): string {
  const top = name?.match(/^(\w+)(\.\w+)?$/)?.[1];
  const fields = [
    "product_id",
    "title",
    "price",
    "stock",
    "opens_at_ms",
    "closes_at_ms",
    "pay_within_s",
    "standby_pay_within_s",
    "standby_limit",
  ];
  if (top && fields.includes(top)) return top;
  return name && /^questions\[\d+\]/.test(name) ? name : "form";
}
