import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { en } from "../src/i18n/en";
import { preferred } from "../src/i18n/language";
import { fill, type Text } from "../src/i18n/translator";
import { zhHant } from "../src/i18n/zh-Hant";

const SOURCES = join(import.meta.dirname, "..", "src");

function words(text: Text): string {
  return typeof text === "string" ? text : text.other;
}

function placeholders(text: Text): string[] {
  return [...words(text).matchAll(/\{(\w+)\}/g)].map((found) => found[1] ?? "").sort();
}

describe("the texts", () => {
  it("are there in both languages", () => {
    expect(Object.keys(zhHant).sort()).toEqual(Object.keys(en).sort());
    for (const text of Object.values(zhHant)) expect(words(text)).not.toBe("");
  });

  it.each(Object.entries(en))("%s takes the same parameters", (key, text) => {
    // a unit's name beside its number leaves the number out in both
    expect(placeholders(zhHant[key as keyof typeof en])).toEqual(placeholders(text));
  });

  it("are all used", () => {
    const code = readdirSync(SOURCES, { recursive: true, encoding: "utf8" })
      .filter((name) => /\.tsx?$/.test(name) && !/i18n\/(en|zh)/.test(name))
      .map((name) => readFileSync(join(SOURCES, name), "utf8"))
      .join("\n");
    const built = [...code.matchAll(/`([\w.-]+)\.\$\{\w+(?:\.\w+)?\}([\w.]*)/g)];
    const used = (key: string) =>
      code.includes(`"${key}"`) ||
      built.some(([, head, tail]) => key.startsWith(`${head}.`) && key.endsWith(tail ?? ""));
    expect(Object.keys(en).filter((key) => !used(key))).toEqual([]);
  });
});

describe("a text", () => {
  it("is filled, numbers written as the language writes them", () => {
    expect(fill("{n} of {all}", { n: 1234, all: "x" }, "en")).toBe("1,234 of x");
  });

  it("has its plural forms", () => {
    const text = { one: "{n} unit", other: "{n} units" };
    expect(fill(text, { n: 1 }, "en")).toBe("1 unit");
    expect(fill(text, { n: 2 }, "en")).toBe("2 units");
  });

  it("leaves a placeholder that nobody filled to be seen", () => {
    expect(fill("{what}", {}, "en")).toBe("{what}");
  });
});

describe("the browser's languages", () => {
  it.each([
    [["zh-TW", "en"], "zh-Hant"],
    [["de", "zh-HK"], "zh-Hant"],
    [["de-DE", "en-US", "zh"], "en"],
    [["fr"], "en"],
  ] as const)("%j read %s", (tags, wanted) => {
    expect(preferred(tags)).toBe(wanted);
  });
});
