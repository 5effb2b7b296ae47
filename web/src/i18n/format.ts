// Money, dates and durations as the language writes them, in the visitor's own time zone.
import type { Money } from "../api/types";
import { serverNow } from "../clock/server";
import { language } from "./language";

/** Integer minor units with a currency, e.g. $4.90. */
export function money({ amount, currency }: Money): string {
  const format = new Intl.NumberFormat(language.value, { style: "currency", currency });
  const digits = format.resolvedOptions().maximumFractionDigits ?? 2;
  return format.format(amount / 10 ** digits);
}

/** Whole percent below the list price; 0 if there is none. */
export function discount(price: Money, list: Money): number {
  if (price.currency !== list.currency || list.amount <= price.amount) return 0;
  return Math.floor((1 - price.amount / list.amount) * 100);
}

/** With the year where it is another than now. */
export function dateTime(ms: number, nowMs = serverNow()): string {
  const thisYear = new Date(ms).getFullYear() === new Date(nowMs).getFullYear();
  return new Intl.DateTimeFormat(language.value, {
    ...(!thisYear && { year: "numeric" }),
    weekday: "short",
    month: "short",
    day: "numeric",
    hour: "numeric",
    minute: "2-digit",
    second: "2-digit",
    timeZoneName: "short",
  }).format(ms);
}

export function dayTime(ms: number): string {
  return new Intl.DateTimeFormat(language.value, {
    dateStyle: "medium",
    timeStyle: "short",
  }).format(ms);
}

/** The time of day, to the second; with the day where that is not today. */
export function timeOfDay(ms: number, nowMs = serverNow()): string {
  if (new Date(ms).toDateString() !== new Date(nowMs).toDateString()) return dateTime(ms, nowMs);
  return new Intl.DateTimeFormat(language.value, { timeStyle: "medium" }).format(ms);
}

export function count(n: number): string {
  return new Intl.NumberFormat(language.value).format(n);
}

/** A span such as "10 minutes" or "15 seconds". */
export function duration(seconds: number): string {
  const [value, unit] =
    seconds % 60 === 0 && seconds >= 60 ? [seconds / 60, "minute"] : [seconds, "second"];
  return new Intl.NumberFormat(language.value, {
    style: "unit",
    unit,
    unitDisplay: "long",
  }).format(value);
}
