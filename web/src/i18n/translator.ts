// Texts by key in every language, with {placeholders} and plural forms. One translator per bundle:
// the shop's is in ./index, the console has its own.
import { type Language, language, onLanguage } from "./language";

/** A text, or its forms by plural category of the parameter `n`. */
export type Text = string | { one?: string; other: string };
export type Params = Record<string, string | number>;
type Dictionary<K extends string> = Record<K, Text>;

/** The text with its placeholders filled; numbers are written as the language writes them. */
export function fill(text: Text, params: Params, tag: Language): string {
  const chosen = typeof text === "string" ? text : form(text, Number(params.n), tag);
  return chosen.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = params[name];
    if (value === undefined) return whole;
    return typeof value === "number" ? new Intl.NumberFormat(tag).format(value) : value;
  });
}

function form(text: { one?: string; other: string }, n: number, tag: Language): string {
  const category = new Intl.PluralRules(tag).select(n);
  return category === "one" && text.one !== undefined ? text.one : text.other;
}

/**
 * Makes `t(key, params)` for a dictionary.
 *
 * @param en the source of keys, always present.
 * @param others how the other languages are loaded, once, when they are first wanted.
 */
export function translator<K extends string>(
  en: Dictionary<K>,
  others: Record<Exclude<Language, "en">, () => Promise<Dictionary<K>>>,
): (key: K, params?: Params) => string {
  const loaded: Partial<Record<Language, Dictionary<K>>> = { en };
  const prepare = async (wanted: Language): Promise<void> => {
    if (wanted !== "en" && !loaded[wanted]) loaded[wanted] = await others[wanted]();
  };
  onLanguage(prepare);
  return (key, params = {}) => {
    const tag = language.value; // what renders a text follows the language
    return fill((loaded[tag] ?? en)[key], params, tag);
  };
}
