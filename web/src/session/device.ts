// What shows the shop that this device has signed in to an account before, so that strangers who guess
// at the account are not in its owner's way. It opens nothing, and outlives signing out.
import { loadObject, save } from "./storage";

const KEY = "miaosha.devices";
const KEPT_MAX = 5; // accounts of one device

/** Stands for an e-mail, which is not kept itself (FNV-1a, 32 bits). */
function codeOf(email: string): string {
  let code = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(email.trim().toLowerCase())) {
    code = Math.imul(code ^ byte, 0x01000193) >>> 0;
  }
  return `d${code.toString(16)}`; // never like a number: objects would put those first
}

/** The device token of an account, or nothing. */
export function deviceToken(email: string): string | undefined {
  const token = loadObject(KEY)?.[codeOf(email)];
  return typeof token === "string" ? token : undefined;
}

export function keepDeviceToken(email: string, token: string): void {
  const code = codeOf(email);
  const others = Object.entries(loadObject(KEY) ?? {}).filter(([one]) => one !== code);
  save(KEY, JSON.stringify(Object.fromEntries([...others, [code, token]].slice(-KEPT_MAX))));
}
