// What a field may hold, as the API says it (docs/openapi.json), so that a mistake is shown beside
// the field before anything is sent. Pure; returns keys of texts, null for a good value.
import type { Key } from "../i18n";
import { cardCode, cardExpiry, cardNumber, emailAddress, phoneNumber, plain } from "./typed";

export type Check = (value: string) => Key | null;

const PASSWORD_MAX = 128;

export const required: Check = (value) => (value.trim() ? null : "error.required");

export const email: Check = (value) =>
  required(value) ??
  (/^[^\s@]+@[^\s@.]+(\.[^\s@.]+)+$/.test(emailAddress(value)) ? null : "error.email");

export const newPassword: Check = (value) => {
  const length = [...value].length;
  return required(value) ?? (length >= 8 && length <= PASSWORD_MAX ? null : "error.password");
};

export const phone: Check = (value) =>
  required(value) ?? (phoneNumber(value) ? null : "error.phone");

/** Twelve to nineteen digits whose check digit fits (Luhn, ISO/IEC 7812-1). */
export const card: Check = (value) => {
  const digits = cardNumber(value);
  return required(value) ?? (digits && luhn(digits) ? null : "error.card");
};

function luhn(digits: string): boolean {
  const sum = [...digits].reverse().reduce((total, digit, i) => {
    const doubled = Number(digit) * (i % 2 === 0 ? 1 : 2);
    return total + (doubled > 9 ? doubled - 9 : doubled);
  }, 0);
  return sum % 10 === 0;
}

/** A month that is not over. */
export function expiry(nowMs: number): Check {
  return (value) => {
    const [month, year] = cardExpiry(value)?.split("/") ?? [];
    if (!month || !year) return value.trim() ? "error.expiry" : "error.required";
    const afterwards = Date.UTC(2000 + Number(year), Number(month), 1);
    return afterwards > nowMs ? null : "error.expired-card";
  };
}

export const cvc: Check = (value) => required(value) ?? (cardCode(value) ? null : "error.cvc");

/** Groups of four while typing; what is more than digits stays, and its mistake is shown. */
export function spacedCard(value: string): string {
  const digits = plain(value).replace(/[ -]/g, "");
  return /^\d*$/.test(digits) ? digits.replace(/(.{4})(?=.)/g, "$1 ") : value;
}

/** A slash after the month while typing. A buyer who types the slash, or more, means it. */
export function slashedExpiry(value: string): string {
  const typed = plain(value);
  const month = /^(\d) ?\/$/.exec(typed);
  if (month) return `0${month[1]}/`;
  if (!/^\d{1,4}$/.test(typed)) return value;
  const padded = /^([2-9]|1[3-9])/.test(typed) ? `0${typed}` : typed;
  return padded.length > 2 ? `${padded.slice(0, 2)}/${padded.slice(2)}` : padded;
}
