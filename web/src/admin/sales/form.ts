// What is typed into the form of a sale, and how it becomes the terms the API takes. Errors have the
// names of the API's fields, so that what the server says finds its place too.
//
// A field shows less than it stands for: a time without its milliseconds, in an hour that comes twice in
// autumn. So what nobody touched is sent back as it came.
import { amountText, fieldMs, fieldTime, minorUnits, whole } from "../format";
import type { AdminSale, SaleBody } from "../server";
import type { Key } from "../text";

export interface ChoiceDraft {
  key: string;
  text: string;
}

export interface QuestionDraft {
  text: string;
  choices: ChoiceDraft[];
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

type CountName = "stock" | "pay_within" | "standby_pay_within" | "standby_limit";
type Counts = Pick<
  AdminSale["sale"],
  "stock" | "pay_within_s" | "standby_pay_within_s" | "standby_limit"
>;

const HOUR_MS = 3_600_000;
const KEYS = "abcdefghij";
export const CHOICES_MAX = KEYS.length;
export const QUESTIONS_MAX = 50;
export const STOCK_MAX = 1_000_000;
const PAY_MAX_S = 604_800;
const STANDBY_MAX = 10_000_000;
const MAX_ID = Number.MAX_SAFE_INTEGER;

export const newQuestion = (): QuestionDraft => ({
  text: "",
  choices: [
    { key: "a", text: "" },
    { key: "b", text: "" },
  ],
  right: 0,
});

/** A choice more, with a key that no other has. */
export function newChoice(others: ChoiceDraft[]): ChoiceDraft {
  const key = [...KEYS].find((one) => others.every((other) => other.key !== one));
  return { key: key ?? String(others.length), text: "" };
}

/** The question without its choice number `at`; if that was the right one, the first is. */
export function withoutChoice(question: QuestionDraft, at: number): QuestionDraft {
  const { choices, right } = question;
  return {
    ...question,
    choices: choices.filter((_, i) => i !== at),
    right: right > at ? right - 1 : right === at ? 0 : right,
  };
}

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
      choices: question.choices.map(({ key, text }) => ({ key, text })),
      right: Math.max(
        0,
        question.choices.findIndex((choice) => choice.key === question.answer),
      ),
    })),
  };
}

/** The instant a field stands for: the sale's own while its text is that of the sale. */
export function instant(
  draft: Draft,
  sale: AdminSale | null,
  which: "opens_at" | "closes_at",
): number | null {
  const own = sale?.sale[`${which}_ms`];
  return own !== undefined && draft[which] === fieldTime(own) ? own : fieldMs(draft[which]);
}

/**
 * The terms, or what is wrong by field.
 *
 * @param sale what the form began with.
 */
export function read(
  draft: Draft,
  sale: AdminSale | null,
): { body: SaleBody } | { errors: Errors } {
  const errors: Errors = {};
  const was = sale && draftOf(sale, 0);
  const need = <T>(field: string, value: T | null, key: Key): T => {
    if (value === null) errors[field] = key;
    return value as T;
  };
  /** Typed into `name`, or the sale's `own` if nobody did. */
  const count = (name: CountName, field: keyof Counts, low: number, high: number): number =>
    sale && was?.[name] === draft[name]
      ? sale.sale[field]
      : need(field, whole(draft[name], low, high), "wrong.number");
  const optional = (name: CountName, field: keyof Counts, low: number, high: number) =>
    draft[name].trim() === "" ? null : count(name, field, low, high);
  const opens = need("opens_at_ms", instant(draft, sale, "opens_at"), "wrong.time");
  const closes = need("closes_at_ms", instant(draft, sale, "closes_at"), "wrong.time");
  if (opens !== null && closes !== null && closes <= opens) errors.closes_at_ms = "wrong.before";
  const samePrice = was?.amount === draft.amount && was.currency === draft.currency;
  const body: SaleBody = {
    product_id: need("product_id", whole(draft.product_id, 1, MAX_ID), "wrong.product"),
    title: need("title", draft.title.trim() || null, "wrong.empty"),
    price:
      sale && samePrice
        ? sale.sale.price
        : {
            amount: need("price", minorUnits(draft.amount, draft.currency), "wrong.amount"),
            currency: draft.currency,
          },
    stock: count("stock", "stock", 1, STOCK_MAX),
    opens_at_ms: opens,
    closes_at_ms: closes,
    pay_within_s: count("pay_within", "pay_within_s", 1, PAY_MAX_S),
    standby_pay_within_s: optional("standby_pay_within", "standby_pay_within_s", 1, PAY_MAX_S),
    standby_limit: optional("standby_limit", "standby_limit", 0, STANDBY_MAX),
    questions: draft.questions.map((question, i) => readQuestion(question, i, errors)),
    mode: sale?.sale.mode ?? "fifo",
  };
  return Object.keys(errors).length ? { errors } : { body };
}

function readQuestion(question: QuestionDraft, number: number, errors: Errors) {
  const field = `questions[${number}]`;
  if (!question.text.trim()) errors[`${field}.text`] = "wrong.empty";
  for (const [i, { text }] of question.choices.entries()) {
    if (!text.trim()) errors[`${field}.choices[${i}].text`] = "wrong.empty";
  }
  return {
    text: question.text,
    choices: question.choices,
    answer: question.choices[question.right]?.key ?? "",
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
