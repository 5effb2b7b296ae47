// Who is signed in: a bearer token in localStorage, shared by all tabs of the browser.
import { computed, signal } from "@preact/signals";
import { credentials, request } from "../api/client";
import type { Session, SignedInAnswer, User } from "../api/types";
import { serverNow } from "../clock/server";
import { deviceToken, keepDeviceToken } from "./device";
import { expiryMs } from "./expiry";
import { load, loadObject, save } from "./storage";

const KEY = "miaosha.session";
const RENEW_BELOW_MS = 4 * 3_600_000; // a visit with less than this left renews by itself
export const ENDING_BELOW_MS = 5 * 60_000;

export interface SignedIn {
  token: string;
  user: User;
  expiresAtMs: number;
}

/** Null: nobody. */
export const session = signal<SignedIn | null>(null);
/** The token was refused or has run out, and nobody has signed in since. */
export const sessionEnded = signal(false);
export const user = computed(() => session.value?.user ?? null);
/** Changes when another person is signed in. */
export const userId = computed(() => session.value?.user.id ?? null);

function stored(): SignedIn | null {
  const found = loadObject(KEY);
  if (typeof found?.token !== "string" || typeof found.user !== "object") return null;
  const until = expiryMs(found.token);
  if (until === null) return null;
  return { token: found.token, user: found.user as User, expiresAtMs: until };
}

function keep(answer: Session): void {
  const until = expiryMs(answer.access_token) ?? serverNow() + RENEW_BELOW_MS;
  session.value = { token: answer.access_token, user: answer.user, expiresAtMs: until };
  sessionEnded.value = false;
  save(KEY, JSON.stringify({ token: answer.access_token, user: answer.user }));
}

function begin(answer: SignedInAnswer): void {
  keep(answer);
  keepDeviceToken(answer.user.email, answer.device_token);
}

/** Raises Problem: bad_credentials, rate_limited, … */
export async function signIn(email: string, password: string): Promise<void> {
  const known = deviceToken(email);
  const body = known ? { email, password, device_token: known } : { email, password };
  begin(await request<SignedInAnswer>("POST", "/sessions", { body }));
}

/** Raises Problem: email_taken, bad_request naming the field, … */
export async function signUp(name: string, email: string, password: string): Promise<void> {
  begin(await request<SignedInAnswer>("POST", "/accounts", { body: { name, email, password } }));
}

/** A fresh token for the same person. */
export async function renew(): Promise<void> {
  keep(await request<Session>("POST", "/sessions/refresh"));
}

const leaving: ((who: number) => void)[] = [];

/** What else is to be forgotten when a person signs out of this device. */
export function onSignOut(forget: (who: number) => void): void {
  leaving.push(forget);
}

export function signOut(): void {
  const who = userId.peek();
  end(false);
  if (who !== null) for (const forget of leaving) forget(who);
}

/** The token has run out. */
export function runOut(): void {
  end(true);
}

function end(unasked: boolean): void {
  session.value = null;
  sessionEnded.value = unasked;
  save(KEY, null);
}

/** The stored session, the other tabs' changes, and what the client does with a refused token. */
export function startSession(): void {
  session.value = stored();
  credentials.token = () => session.value?.token ?? null;
  credentials.refused = () => end(true);
  addEventListener("storage", (event) => {
    if (event.key !== KEY && event.key !== null) return;
    session.value = load(KEY) === null ? null : stored();
    if (session.value) sessionEnded.value = false;
  });
  const now = session.value;
  if (now && now.expiresAtMs - serverNow() < RENEW_BELOW_MS) renew().catch(() => undefined);
}
