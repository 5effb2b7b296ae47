// The shop's texts in English: the source of keys.
import type { Text } from "./translator";

const texts = {
  shop: "Miaosha",
  loading: "Loading…",
  "admin.title": "Console",
} as const satisfies Record<string, Text>;

export const en: Record<keyof typeof texts, Text> = texts;
