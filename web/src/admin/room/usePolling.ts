// Polling: asks the server again and again while the page is visible.
import { useEffect, useMemo, useState } from "preact/hooks";
import { waitMs } from "../../api/backoff";
import { type Problem, problemOf } from "../../api/problem";

const MOST_MS = 10_000;

interface Job<T> {
  ask: (signal: AbortSignal) => Promise<T>;
  take: (answer: T) => void;
  everyMs: number;
  /** Gets the problem of each try, null if there is none. */
  tell: (problem: Problem | null) => void;
}

class Poll<T> {
  private readonly gone = new AbortController();
  private timer = 0;
  private failures = 0;
  private asking = false;

  constructor(private readonly job: Job<T>) {}

  /** Asks for the first time; the returned function stops. */
  start(): () => void {
    document.addEventListener("visibilitychange", this.shown);
    void this.once();
    return () => {
      this.gone.abort();
      window.clearTimeout(this.timer);
      document.removeEventListener("visibilitychange", this.shown);
    };
  }

  readonly now = () => this.askIn(0);

  private readonly shown = () => (document.hidden ? window.clearTimeout(this.timer) : this.now());

  private askIn(ms: number): void {
    window.clearTimeout(this.timer);
    if (this.gone.signal.aborted || document.hidden) return;
    this.timer = window.setTimeout(() => void this.once(), ms);
  }

  private async once(): Promise<void> {
    const { signal } = this.gone;
    if (this.asking || signal.aborted) return;
    this.asking = true;
    let wait: number;
    try {
      const answer = await this.job.ask(signal);
      if (signal.aborted) return;
      wait = this.answered(answer);
    } catch (error) {
      if (signal.aborted) return;
      wait = this.failed(problemOf(error));
    } finally {
      this.asking = false;
    }
    this.askIn(wait);
  }

  private answered(answer: T): number {
    this.failures = 0;
    this.job.tell(null);
    this.job.take(answer);
    return this.job.everyMs;
  }

  private failed(problem: Problem): number {
    const { everyMs } = this.job;
    this.failures += 1;
    this.job.tell(problem);
    if (!problem.passing) return MOST_MS;
    const growth = { firstMs: everyMs, mostMs: MOST_MS };
    return Math.max(everyMs, waitMs(this.failures, growth, problem.retryAfterS, Math.random()));
  }
}

/**
 * Asks `everyMs` after each answer, never twice at once, not while the page is hidden. After failures
 * it asks more and more seldom, up to every ten seconds, and not before the server wants it.
 *
 * @returns the problem of the last try, null while answers come; and a way to ask at once.
 */
export function usePolling<T>(
  ask: Job<T>["ask"],
  take: Job<T>["take"],
  everyMs: number,
): { problem: Problem | null; now: () => void } {
  const [problem, tell] = useState<Problem | null>(null);
  const poll = useMemo(() => new Poll({ ask, take, everyMs, tell }), [ask, take, everyMs]);
  useEffect(() => poll.start(), [poll]);
  return { problem, now: poll.now };
}
