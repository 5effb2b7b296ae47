// The shop's texts.
import { en } from "./en";
import { translator } from "./translator";

export type Key = keyof typeof en;

export const t = translator(en, {
  "zh-Hant": async () => (await import("./zh-Hant")).zhHant,
});
