import { afterEach, describe, expect, it, vi } from "vitest";
import { chooseLanguage, language, startLanguage } from "../src/i18n/language";
import { translator } from "../src/i18n/translator";
import { page } from "./page";

afterEach(() => vi.unstubAllGlobals());

describe("a language whose texts cannot be loaded", () => {
  it("leaves the pages in the one they have", async () => {
    page();
    vi.stubGlobal("navigator", { languages: ["zh-TW"] });
    const t = translator({ hello: "Hello" }, { "zh-Hant": () => Promise.reject(new Error("cut")) });
    await startLanguage();
    await chooseLanguage("zh-Hant");
    expect(language.value).toBe("en");
    expect(t("hello")).toBe("Hello");
  });
});
