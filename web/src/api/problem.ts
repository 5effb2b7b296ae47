// What an unanswered or refused request reads as. `code` is stable (docs/openapi.json); those of our
// own: "offline" (no network), "timeout" (no answer in time), "unavailable" (an answer that is none).

export class Problem extends Error {
  constructor(
    readonly code: string,
    readonly status: number,
    message: string,
    /** Seconds after which asking again makes sense, if the server said so. */
    readonly retryAfterS: number | null = null,
    /** The field of the body that is wrong, if one is. */
    readonly field: string | null = null,
  ) {
    super(message);
  }

  /** Nobody is to blame but the moment: the same request may succeed later. */
  get passing(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** The Problem that `error` is; anything else is a bug and thrown on. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  throw error;
}
