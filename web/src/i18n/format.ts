// Money, dates and durations as the language writes them, in the visitor's own time zone.
import type { Money } from "../api/types";
import { serverNow } from "../clock/server";
import { language } from "./language";

/** How many decimals a currency has: 2 for USD, 0 for JPY. */
export function minorDigits(currency: string): number {
  const format = new Intl.NumberFormat("en", { style: "currency", currency });
  return format.resolvedOptions().maximumFractionDigits ?? 2;
}

/** Integer minor units with a currency, as $4.90 or, by its code, USD 4.90. */
export function money(
  { amount, currency }: Money,
  currencyDisplay: "symbol" | "code" = "symbol",
): string {
  const options = { style: "currency", currency, currencyDisplay } as const;
  const units = amount / 10 ** minorDigits(currency);
  return new Intl.NumberFormat(language.value, options).format(units);
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

export function number(value: number): string {
  return new Intl.NumberFormat(language.value).format(value);
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
