// Where a buyer stands, in the words of the page's language.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { standing } from "../../src/admin/people/timeline";
import { chooseLanguage } from "../../src/i18n/language";
import { page } from "../page";

type InSale = Parameters<typeof standing>[0];

const HOLD = { state: "PAID", reason: null, attempt: 1, promoted: true, synced: true };
const PLACE = { state: "standby", position: 3, ungranted: false };
const at = (hold: object | null, place: object | null) => ({ hold, place }) as InSale;

beforeEach(() => {
  page();
  vi.stubGlobal("document", { documentElement: {} });
});

afterEach(async () => {
  await chooseLanguage("en");
  vi.unstubAllGlobals();
});

describe("where a buyer stands", () => {
  it.each([
    [at(HOLD, null), "paid · from standby · 1 payment tried"],
    [at({ ...HOLD, state: "RELEASED", reason: "expired", synced: false, attempt: 0 }, null), "exp"],
    [at(null, PLACE), "on standby, number 3"],
    [at(HOLD, { ...PLACE, ungranted: true }), "won a unit"],
    [at(null, { ...PLACE, state: "left" }), "left the line"],
    [at(null, null), "no trace"],
  ])("is said in English", (sale, said) => {
    expect(standing(sale)).toContain(said);
  });

  it("is said in Chinese", async () => {
    await chooseLanguage("zh-Hant");
    expect(standing(at(HOLD, null))).toBe("已付款 · 由候補遞補 · 已嘗試付款 1 次");
    expect(standing(at(null, PLACE))).toBe("候補第 3 位");
  });
});
