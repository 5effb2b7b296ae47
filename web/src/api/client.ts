// HTTP with JSON, a bearer token, a time limit and problems as exceptions. Everyone calls `request`.
import { Problem } from "./problem";

const TIMEOUT_MS = 20_000;
export const API = "/api/v1";

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
}

/**
 * One request to the API.
 *
 * @returns the decoded JSON, the text of another kind of answer, or undefined for 204.
 * @throws Problem for every other status, a lost network and a timeout.
 */
export async function request<T>(method: string, path: string, options: Options = {}): Promise<T> {
  const response = await send(method, path, options);
  if (!response.ok) throw signedOut(await problem(response));
  if (response.status === 204) return undefined as T;
  const kind = response.headers.get("content-type") ?? "";
  return (kind.includes("json") ? await response.json() : await response.text()) as T;
}

function signedOut(found: Problem): Problem {
  if (found.code === "unauthorized" && credentials.token()) credentials.refused();
  return found;
}

async function send(method: string, path: string, options: Options): Promise<Response> {
  const limit = AbortSignal.timeout(options.timeoutMs ?? TIMEOUT_MS);
  try {
    return await fetch((options.base ?? API) + path, {
      method,
      headers: headers(options),
      body: options.raw ?? (options.body === undefined ? null : JSON.stringify(options.body)),
      signal: options.signal ? AbortSignal.any([limit, options.signal]) : limit,
      credentials: "omit",
    });
  } catch (error) {
    if (limit.aborted) throw new Problem("timeout", 0, "No answer in time");
    if (options.signal?.aborted) throw error;
    throw new Problem("offline", 0, "No connection");
  }
}

function headers(options: Options): Record<string, string> {
  const sent: Record<string, string> = { accept: "application/json" };
  const token = credentials.token();
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
