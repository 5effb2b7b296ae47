// What a person typed or pasted, in the one form that is sent; null if it cannot be meant. Whatever has
// a single meaning is taken. `domain/typed.py` says the same; web/test/typed.json holds the two together.

/** With ASCII digits and dashes and single blanks, half as wide, without what cannot be seen. */
export function plain(text: string): string {
  return text
    .normalize("NFKC")
    .replace(/\p{Nd}/gu, digit)
    .replace(/[\p{Pd}\u2212]/gu, "-")
    .replace(/\p{Cf}/gu, "")
    .replace(/\s+/g, " ")
    .trim();
}

/** Every script has its ten digits in a row. */
function digit(sign: string): string {
  const point = sign.codePointAt(0) ?? 0;
  let before = 0;
  while (/\p{Nd}/u.test(String.fromCodePoint(point - before - 1))) before += 1;
  return String(before % 10);
}

/** Twelve to nineteen digits; blanks and dashes are for the eye. */
export function cardNumber(text: string): string | null {
  const digits = plain(text).replace(/[ -]/g, "");
  return /^\d{12,19}$/.test(digits) ? digits : null;
}

/** `MM/YY`, from 12/30, 12 / 30, 1/30, 0130, 12/2030, 2030-12 and their like. */
export function cardExpiry(text: string): string | null {
  const typed = plain(text);
  const found =
    /^(?<year>20\d\d)[/.-](?<month>\d{1,2})$/.exec(typed) ??
    // 130: there is no thirteenth month; 123 may be either
    /^(?<month>[2-9]|1(?=[3-9]))(?<year>\d\d)$/.exec(typed) ??
    /^(?<month>\d\d)(?<year>\d\d|\d{4})$/.exec(typed) ??
    /^(?<month>\d{1,2})(?: ?[/.-] ?| )(?<year>\d{4}|\d\d)$/.exec(typed);
  const { month = "", year = "" } = found?.groups ?? {};
  const good = Number(month) >= 1 && Number(month) <= 12 && /^(20)?\d\d$/.test(year);
  return good ? `${month.padStart(2, "0")}/${year.slice(-2)}` : null;
}

/** Three or four digits. */
export function cardCode(text: string): string | null {
  const code = plain(text).replace(/ /g, "");
  return /^\d{3,4}$/.test(code) ? code : null;
}

const EXTENSION = /[\s,;]*(?:extension|extn|ext|x|#|分機|內線|轉)[\s.:=]*(\d{1,8})$/i;

/** At least four digits with the signs people put between them; an extension follows a #. */
export function phoneNumber(text: string): string | null {
  const typed = plain(text).replace(/^tel: ?/i, "");
  const number = typed.replace(EXTENSION, " #$1").trim();
  const enough = (number.match(/\d/g) ?? []).length >= 4;
  return enough && /^[0-9+(). /#-]{4,40}$/.test(number) ? number : null;
}

/** In lower case, without what mail programs and keyboards put around or into it. */
export function emailAddress(text: string): string {
  const typed = plain(text).replace(/^mailto: ?/i, "");
  return typed.replace(/ ?@ ?/g, "@").replace(/。/g, ".").toLowerCase();
}
