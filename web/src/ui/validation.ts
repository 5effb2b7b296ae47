// What a field may hold, as the API says it (docs/openapi.json), so that a mistake is shown beside
// the field before anything is sent. Pure; answers keys of texts, null for a good value.
import type { Key } from "../i18n";

export type Check = (value: string) => Key | null;

export const required: Check = (value) => (value.trim() ? null : "error.required");

export const email: Check = (value) =>
  required(value) ?? (/^\S+@[^\s@.]+(\.[^\s@.]+)+$/.test(value.trim()) ? null : "error.email");

export const newPassword: Check = (value) =>
  required(value) ?? (value.length >= 8 ? null : "error.password");

export const phone: Check = (value) =>
  required(value) ?? (/^[0-9+(). /-]{4,30}$/.test(value.trim()) ? null : "error.phone");

/** Digits only; blanks and dashes are for the eye. */
export function cardDigits(value: string): string {
  return value.replace(/[\s-]/g, "");
}

/** Twelve to nineteen digits whose check digit fits (Luhn, ISO/IEC 7812-1). */
export const card: Check = (value) => {
  const digits = cardDigits(value);
  if (!digits) return "error.required";
  return /^\d{12,19}$/.test(digits) && luhn(digits) ? null : "error.card";
};

function luhn(digits: string): boolean {
  const sum = [...digits].reverse().reduce((total, digit, i) => {
    const doubled = Number(digit) * (i % 2 === 0 ? 1 : 2);
    return total + (doubled > 9 ? doubled - 9 : doubled);
  }, 0);
  return sum % 10 === 0;
}

/** MM/YY, not in the past. */
export function expiry(nowMs: number): Check {
  return (value) => {
    const parts = /^(0[1-9]|1[0-2])\/(\d\d)$/.exec(value);
    if (!parts) return value ? "error.expiry" : "error.required";
    const afterwards = Date.UTC(2000 + Number(parts[2]), Number(parts[1]), 1);
    return afterwards > nowMs ? null : "error.expired-card";
  };
}

export const cvc: Check = (value) =>
  required(value) ?? (/^\d{3,4}$/.test(value) ? null : "error.cvc");

/** Groups of four while typing. */
export function spacedCard(value: string): string {
  const digits = value.replace(/\D/g, "").slice(0, 19);
  return digits.replace(/(.{4})(?=.)/g, "$1 ");
}

/** A slash after the month while typing. */
export function slashedExpiry(value: string): string {
  const digits = value.replace(/\D/g, "").slice(0, 4);
  const padded = /^[2-9]$/.test(digits) ? `0${digits}` : digits;
  return padded.length > 2 ? `${padded.slice(0, 2)}/${padded.slice(2)}` : padded;
}
