// Which language the pages speak: the buyer's choice, else the browser's. Knows no text.
import { signal } from "@preact/signals";
import { load, save } from "../session/storage";

export type Language = "en" | "zh-Hant";
export const LANGUAGES: Record<Language, string> = { en: "English", "zh-Hant": "繁體中文" };

const KEY = "miaosha.language";

/** The language shown now; change it with `chooseLanguage`. */
export const language = signal<Language>("en");

const loaders: ((wanted: Language) => Promise<void>)[] = [];

/** A dictionary registers how it makes a language ready; called before that language is shown. */
export function onLanguage(prepare: (wanted: Language) => Promise<void>): void {
  loaders.push(prepare);
}

/** Any Chinese reads traditional: the only kind of it we have. */
export function preferred(tags: readonly string[]): Language {
  for (const tag of tags) {
    if (/^zh\b/i.test(tag)) return "zh-Hant";
    if (/^en\b/i.test(tag)) return "en";
  }
  return "en";
}

function isLanguage(text: string | null): text is Language {
  return text !== null && text in LANGUAGES;
}

/** Shows `wanted`; the language shown stays if its texts cannot be loaded now. */
async function show(wanted: Language): Promise<void> {
  try {
    await Promise.all(loaders.map((prepare) => prepare(wanted)));
  } catch {
    return; // no network, or a new version of the shop: the next visit has another try
  }
  language.value = wanted;
  document.documentElement.lang = wanted;
}

/** Makes dictionaries that were registered late (a lazy bundle's) ready in the language shown. */
export function prepared(): Promise<void> {
  return show(language.value);
}

/** The first language of this visit. */
export function startLanguage(): Promise<void> {
  const stored = load(KEY);
  return show(isLanguage(stored) ? stored : preferred(navigator.languages));
}

/** Switch, and remember it on this device. */
export function chooseLanguage(wanted: Language): Promise<void> {
  save(KEY, wanted);
  return show(wanted);
}
