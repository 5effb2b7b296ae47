// Numbers, money, times and durations as the language writes them. Times are in the browser's zone.
import type { Money } from "../api/types";
import { clockText, type Remaining, twoDigits } from "../clock/countdown";
import { minorDigits, money } from "../i18n/format";
import { language } from "../i18n/language";
import { plain } from "../ui/typed";

const AMOUNT_MAX = 10 ** 12; // minor units, as the API has it
export const CURRENCIES = ["USD", "EUR", "GBP", "TWD", "HKD", "CNY", "JPY", "KRW"];

/** At most one digit after the point: rates. */
export function rate(value: number): string {
  return new Intl.NumberFormat(language.value, {
    maximumFractionDigits: value < 10 ? 1 : 0,
  }).format(value);
}

export function percent(part: number, whole: number): string {
  return new Intl.NumberFormat(language.value, {
    style: "percent",
    maximumFractionDigits: 1,
  }).format(whole ? part / whole : 0);
}

/** With the currency's code: several have the same sign. */
export function codedMoney(price: Money): string {
  return money(price, "code");
}

/** Minor units as typed into a field: "19.90". */
export function amountText({ amount, currency }: Money): string {
  const digits = minorDigits(currency);
  return (amount / 10 ** digits).toFixed(digits);
}

/** What was typed as a whole number, "1,000" too; null if it is none within the limits. */
export function whole(text: string, low: number, high: number): number | null {
  const typed = plain(text);
  const grouped = /^\d{1,3}([ ,.'’]\d{3})+$/.test(typed);
  const digits = grouped ? typed.replace(/\D/g, "") : typed;
  const value = /^\d{1,13}$/.test(digits) ? Number(digits) : Number.NaN;
  return value >= low && value <= high ? value : null;
}

/**
 * What was typed as minor units: "19.90", "19,90", "1,234.50", "NT$ 1,200"; null if it is no such
 * amount, or may be two ("1.234" dollars).
 */
export function minorUnits(text: string, currency: string): number | null {
  const digits = minorDigits(currency);
  const typed = plain(text)
    .replace(/\u066b/g, ".") // the Arabic decimal sign, and the one between thousands
    .replace(/\u066c/g, ",")
    .replace(/^([A-Z]{0,3}\p{Sc}|[A-Z]{3}) ?| ?(\p{Sc}|[A-Z]{3})$/gu, "");
  const cents = digits ? new RegExp(`^(.*)([.,])(\\d{1,${digits}})$`).exec(typed) : null;
  const [units, point, rest] = cents ? [cents[1], cents[2], cents[3]] : [typed, "", ""];
  if (units?.includes(point || "x")) return null; // the sign of decimals stands there once
  const single = !point && digits > 0 && /^\d+[.,]\d{3}$/.test(typed);
  const value = single ? null : whole(units ?? "", 0, AMOUNT_MAX);
  if (value === null) return null;
  const amount = value * 10 ** digits + Number((rest ?? "").padEnd(digits, "0") || 0);
  return amount <= AMOUNT_MAX ? amount : null;
}

export function time(ms: number): string {
  return new Intl.DateTimeFormat(language.value, {
    dateStyle: "medium",
    timeStyle: "medium",
  }).format(ms);
}

/** Date and time to the millisecond, for events that lie close together. */
export function preciseTime(ms: number): string {
  return new Intl.DateTimeFormat(language.value, {
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    fractionalSecondDigits: 3,
    hourCycle: "h23",
  }).format(ms);
}

/** Such as "Asia/Taipei (UTC+08:00)" at the moment `ms`. */
export function zone(ms: number): string {
  const name = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const minutes = -new Date(ms).getTimezoneOffset();
  const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
  return `${name} (UTC${minutes < 0 ? "−" : "+"}${twoDigits(hours)}:${twoDigits(rest)})`;
}

/** 9:05, 1:09:05 or 1d 01:09:05. */
export function dayClock(left: Remaining): string {
  const { days, hours, minutes, seconds } = left;
  if (days === 0) return clockText(left);
  return `${days}d ${[hours, minutes, seconds].map(twoDigits).join(":")}`;
}

/** A span in its largest unit that says something: "84 ms", "3.2 s", "4 min 10 s". */
export function span(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const s = Math.round(ms / 1000);
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}

/** Milliseconds as the value of <input type="datetime-local">, in the browser's zone. */
export function fieldTime(ms: number): string {
  const local = new Date(ms - new Date(ms).getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 19);
}

/** The reverse; null for what is no time. */
export function fieldMs(text: string): number | null {
  const ms = text ? new Date(text).getTime() : Number.NaN;
  return Number.isFinite(ms) ? ms : null;
}
