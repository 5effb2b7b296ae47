// The console's texts: a dictionary of its own, so that a buyer never loads it.
import { translator } from "../../i18n/translator";
import { en } from "./en";

export type Key = keyof typeof en;

export const t = translator(en, {
  "zh-Hant": async () => (await import("./zh-Hant")).zhHant,
});

/** Each mistake by its text. */
export function inWords(mistakes: Record<string, Key>): Record<string, string> {
  return Object.fromEntries(Object.entries(mistakes).map(([field, key]) => [field, t(key)]));
}
