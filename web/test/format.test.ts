// Money has the decimals of its currency. Dates say their year where it is another than now, and times of day their day where it is not today.
import { afterAll, beforeAll, expect, it } from "vitest";
import { dateTime, dayTime, money, timeOfDay } from "../src/i18n/format";

const before = process.env.TZ;
beforeAll(() => {
  process.env.TZ = "Asia/Taipei";
});
afterAll(() => {
  if (before === undefined) delete process.env.TZ;
  else process.env.TZ = before;
});

const NOW = Date.UTC(2026, 11, 30, 12);

it.each([
  [Date.UTC(2026, 11, 31, 15, 59), false], // still this year in Taipei
  [Date.UTC(2026, 11, 31, 16, 0), true],
  [Date.UTC(2027, 5, 1), true],
  [Date.UTC(2025, 11, 31), true],
])("a date of another year shows it (%i)", (ms, year) => {
  const shown = new Date(ms + 8 * 3_600_000).getUTCFullYear();
  expect(dateTime(ms, NOW).includes(String(shown))).toBe(year);
  expect(dayTime(ms)).toContain(String(shown));
});

it("a time of another day shows the day", () => {
  expect(timeOfDay(NOW + 60_000, NOW)).not.toContain("Dec");
  expect(timeOfDay(NOW + 86_400_000, NOW)).toContain("Dec");
  expect(timeOfDay(NOW + 3 * 86_400_000, NOW)).toContain("2027");
});

it.each([
  ["USD", "$12.34", "USD 12.34"],
  ["JPY", "¥1,234", "JPY 1,234"],
  ["KRW", "₩1,234", "KRW 1,234"],
  ["TWD", "NT$12.34", "TWD 12.34"],
])("money in %s is %s, or %s where signs are not enough", (currency, shown, coded) => {
  const spaced = (text: string) => text.replace(/\u00a0/g, " ");
  expect(money({ amount: 1234, currency })).toBe(shown);
  expect(spaced(money({ amount: 1234, currency }, "code"))).toBe(coded);
});
