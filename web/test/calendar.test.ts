// The opening of a sale as a file that calendars take (RFC 5545).
import { expect, it } from "vitest";
import type { Sale } from "../src/api/types";
import { calendarEntry } from "../src/pages/sale/calendar";

const OPENS = Date.UTC(2030, 11, 31, 23, 59, 30);
const URL_ = "https://shop.example/sales/7";

function entry(title: string, openForMs = 3_600_000): string {
  const sale = { id: 7, opens_at_ms: OPENS, closes_at_ms: OPENS + openForMs } as Sale;
  return calendarEntry(sale, title, URL_, Date.UTC(2030, 0, 2, 3, 4, 5));
}

/** Its properties, folded lines put together again. */
function properties(file: string): Map<string, string> {
  const lines = file.replaceAll("\r\n ", "").split("\r\n").filter(Boolean);
  return new Map(lines.map((line) => [line.split(":")[0] ?? "", line.replace(/^[^:]*:/, "")]));
}

it("is one event in UTC, with a reminder", () => {
  const found = properties(entry("Opens: Lamp"));
  expect(Object.fromEntries(found)).toMatchObject({
    UID: "sale-7@shop.example",
    DTSTAMP: "20300102T030405Z",
    DTSTART: "20301231T235930Z",
    DTEND: "20310101T001430Z",
    SUMMARY: "Opens: Lamp",
    URL: URL_,
    TRIGGER: "-PT5M",
  });
  expect(entry("x").match(/^BEGIN:/gm)).toHaveLength(3);
  expect(entry("x").match(/^END:/gm)).toHaveLength(3);
});

it("ends with the sale if that is shorter", () => {
  expect(properties(entry("x", 60_000)).get("DTEND")).toBe("20310101T000030Z");
});

it("has its lines broken where the format wants it, and no character with them", () => {
  const title = "秒殺🏮 lamps; ".repeat(20);
  const file = entry(title);
  expect(file.endsWith("END:VCALENDAR\r\n")).toBe(true);
  for (const line of file.split("\r\n")) {
    expect(new TextEncoder().encode(line).length).toBeLessThanOrEqual(75);
    expect(line).not.toMatch(/[\n\ufffd]/);
  }
  const escaped = title.replaceAll(";", "\\;");
  expect(properties(file).get("SUMMARY")).toBe(escaped);
});

it("says nothing that a title only looks like", () => {
  const found = properties(entry("a\r\nEND:VEVENT, b\\c"));
  expect(found.get("SUMMARY")).toBe("a END:VEVENT\\, b\\\\c");
});
