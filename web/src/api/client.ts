// HTTP with JSON, a bearer token, a time limit and problems as exceptions. Everyone calls `request`.
import { Problem } from "./problem";

const TIMEOUT_MS = 20_000;
const API = "/api/v1";

/** How a request is signed and what happens to a refused token; set by the session. */
export const credentials = {
  token: (): string | null => null,
  refused: (): void => undefined,
};

export interface Options {
  body?: unknown;
  /** Sent as it is instead of JSON (a picture). */
  raw?: Blob;
  timeoutMs?: number;
  signal?: AbortSignal;
  /** Address beside /api/v1 (readiness probes). */
  base?: string;
  /** The body has a token of its own: a 401 says nothing of the session. */
  ownToken?: boolean;
}

/**
 * One request to the API.
 *
 * @returns the decoded JSON, the bytes of another kind of answer as a Blob, or undefined for 204.
 * @throws Problem for every other status, a lost network (also amid the answer) and a timeout.
 */
export async function request<T>(method: string, path: string, options: Options = {}): Promise<T> {
  const token = credentials.token();
  const body = options.raw ?? (options.body === undefined ? null : JSON.stringify(options.body));
  const limit = AbortSignal.timeout(options.timeoutMs ?? TIMEOUT_MS);
  try {
    const response = await fetch((options.base ?? API) + path, {
      method,
      headers: headers(options, token),
      body,
      signal: options.signal ? AbortSignal.any([limit, options.signal]) : limit,
      credentials: "omit",
    });
    if (response.ok) return (await content(response)) as T;
    throw signedOut(await problem(response), options, token);
  } catch (error) {
    if (error instanceof Problem) throw error;
    if (limit.aborted) throw new Problem("timeout", 0, "No answer in time");
    if (options.signal?.aborted) throw error;
    if (error instanceof SyntaxError) throw new Problem("unavailable", 0, "Half an answer");
    throw new Problem("offline", 0, "No connection");
  }
}

async function content(response: Response): Promise<unknown> {
  if (response.status === 204) return undefined;
  const kind = response.headers.get("content-type") ?? "";
  return kind.includes("json") ? await response.json() : await response.blob();
}

/** A refused token ends the session it belongs to, not one that began since. */
function signedOut(found: Problem, { ownToken }: Options, token: string | null): Problem {
  const ours = token !== null && token === credentials.token();
  if (found.code === "unauthorized" && ours && !ownToken) credentials.refused();
  return found;
}

function headers(options: Options, token: string | null): Record<string, string> {
  const sent: Record<string, string> = { accept: "application/json" };
  if (token) sent.authorization = `Bearer ${token}`;
  if (options.raw) sent["content-type"] = options.raw.type;
  else if (options.body !== undefined) sent["content-type"] = "application/json";
  return sent;
}

async function problem(response: Response): Promise<Problem> {
  const after = Number(response.headers.get("retry-after") ?? Number.NaN);
  const retryAfterS = Number.isFinite(after) ? after : null;
  try {
    const body = (await response.json()) as { code?: string; detail?: string; field?: string };
    const code = body.code ?? "unavailable";
    return new Problem(code, response.status, body.detail ?? code, retryAfterS, body.field ?? null);
  } catch {
    return new Problem("unavailable", response.status, "Not an answer of ours", retryAfterS);
  }
}
