// A page's surroundings for tests without a browser: storage, events, and a network that answers what
// a test says, when it says so.
import { vi } from "vitest";

export interface Call {
  method: string;
  path: string;
  token: string | null;
  body: unknown;
  /** Answers the request; `body` may be a text to cut short. */
  answer: (status: number, body: unknown) => Promise<void>;
  /** The connection is lost after the head of the answer. */
  cut: (status: number) => Promise<void>;
  fail: () => Promise<void>;
}

/** Lets everything that can go on do so. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 20; i += 1) await Promise.resolve();
  await new Promise((resume) => setImmediate(resume));
}

const HEAD = { headers: { "content-type": "application/json" } };

/** Install the surroundings; the returned list gets every request in order. */
export function page(): Call[] {
  const calls: Call[] = [];
  const stored = new Map<string, string>();
  const target = new EventTarget();
  vi.stubGlobal("window", globalThis);
  vi.stubGlobal("document", new EventTarget());
  vi.stubGlobal("addEventListener", target.addEventListener.bind(target));
  vi.stubGlobal("removeEventListener", target.removeEventListener.bind(target));
  vi.stubGlobal("localStorage", {
    getItem: (key: string) => stored.get(key) ?? null,
    setItem: (key: string, value: string) => void stored.set(key, value),
    removeItem: (key: string) => void stored.delete(key),
  });
  vi.stubGlobal("fetch", (url: string, init: RequestInit) => {
    const sent = new Headers(init.headers).get("authorization");
    return new Promise<Response>((resolve, reject) => {
      const done = (end: () => void) => async () => {
        end();
        await settle();
      };
      calls.push({
        method: init.method ?? "GET",
        path: url.replace("/api/v1", ""),
        token: sent?.replace("Bearer ", "") ?? null,
        body: typeof init.body === "string" ? JSON.parse(init.body) : undefined,
        answer: (status, body) =>
          done(() => resolve(new Response(JSON.stringify(body), { status, ...HEAD })))(),
        cut: (status) => {
          const broken = new ReadableStream({ start: (c) => c.error(new TypeError("cut")) });
          return done(() => resolve(new Response(broken, { status, ...HEAD })))();
        },
        fail: done(() => reject(new TypeError("no network"))),
      });
    });
  });
  return calls;
}
