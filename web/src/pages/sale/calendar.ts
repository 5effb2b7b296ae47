// The opening as a calendar entry (RFC 5545) with a reminder five minutes before. Pure but for `saveEntry`.
import type { Sale } from "../../api/types";
import { t } from "../../i18n";
import { offerFile } from "../../ui/offerFile";

const LENGTH_MS = 15 * 60_000;

function stamp(ms: number): string {
  return new Date(ms).toISOString().replace(/[-:]|\.\d{3}/g, "");
}

/** Text as a property's value: separators escaped, no line breaks. */
function value(text: string): string {
  return text.replace(/[\\;,]/g, "\\$&").replace(/\s+/g, " ");
}

/** Lines of at most 75 bytes, as the format asks; a character is never cut. */
function folded(line: string): string {
  const lines: string[] = [];
  let current = "";
  for (const character of line) {
    if (new TextEncoder().encode(current + character).length > 73) {
      lines.push(current);
      current = "";
    }
    current += character;
  }
  return [...lines, current].join("\r\n ");
}

/** The file's text. */
export function calendarEntry(sale: Sale, title: string, url: string, nowMs: number): string {
  return [
    "BEGIN:VCALENDAR",
    "VERSION:2.0",
    "PRODID:-//Miaosha//Shop//EN",
    "BEGIN:VEVENT",
    `UID:sale-${sale.id}@${new URL(url).host}`,
    `DTSTAMP:${stamp(nowMs)}`,
    `DTSTART:${stamp(sale.opens_at_ms)}`,
    `DTEND:${stamp(Math.min(sale.closes_at_ms, sale.opens_at_ms + LENGTH_MS))}`,
    `SUMMARY:${value(title)}`,
    `URL:${url}`,
    "BEGIN:VALARM",
    "ACTION:DISPLAY",
    "TRIGGER:-PT5M",
    `DESCRIPTION:${value(title)}`,
    "END:VALARM",
    "END:VEVENT",
    "END:VCALENDAR",
    "",
  ]
    .map(folded)
    .join("\r\n");
}

/** Offer the entry as a file. */
export function saveEntry(sale: Sale, nowMs: number): void {
  const url = `${location.origin}/sales/${sale.id}`;
  const text = calendarEntry(sale, t("calendar.soon", { title: sale.title }), url, nowMs);
  offerFile(`sale-${sale.id}.ics`, new Blob([text], { type: "text/calendar" }));
}
