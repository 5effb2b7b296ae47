// Both languages say everything, with the same placeholders.
import { expect, it } from "vitest";
import { en } from "../../src/admin/text/en";
import { zhHant } from "../../src/admin/text/zh-Hant";
import type { Text } from "../../src/i18n/translator";

function placeholders(text: Text): string[] {
  const whole = typeof text === "string" ? text : text.other;
  return [...whole.matchAll(/\{(\w+)\}/g)].map((found) => found[1] ?? "").sort();
}

it("no text is missing or empty, and none loses a placeholder", () => {
  const other: Record<string, Text> = zhHant;
  expect(Object.keys(other).sort()).toEqual(Object.keys(en).sort());
  for (const [key, text] of Object.entries(en as Record<string, Text>)) {
    expect(placeholders(other[key] ?? ""), key).toEqual(placeholders(text));
    expect(other[key], key).not.toBe("");
  }
});
