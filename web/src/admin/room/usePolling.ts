// Asking again and again while a page is visible.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { waitMs } from "../../api/backoff";
import { type Problem, problemOf } from "../../api/problem";

const MOST_MS = 10_000;

/**
 * Asks `everyMs` after each answer, never twice at once, not while the page is hidden. After failures
 * it asks more and more seldom, up to every ten seconds, and not before the server wants it.
 *
 * @returns the problem of the last try, null while answers come; and a way to ask at once.
 */
export function usePolling<T>(
  ask: (signal: AbortSignal) => Promise<T>,
  take: (answer: T) => void,
  everyMs: number,
): { problem: Problem | null; now: () => void } {
  const [problem, setProblem] = useState<Problem | null>(null);
  const wake = useRef<() => void>(() => undefined);
  useEffect(() => {
    const gone = new AbortController();
    const isGone = () => gone.signal.aborted;
    let timer = 0;
    let failures = 0;
    let asking = false;
    const later = (ms: number) => {
      window.clearTimeout(timer);
      if (!isGone() && !document.hidden) timer = window.setTimeout(once, ms);
    };
    const failed = (found: Problem): number => {
      failures += 1;
      setProblem(found);
      if (!found.passing) return MOST_MS;
      const growth = { firstMs: everyMs, mostMs: MOST_MS };
      return Math.max(everyMs, waitMs(failures, growth, found.retryAfterS, Math.random()));
    };
    const answered = (answer: T): number => {
      failures = 0;
      setProblem(null);
      take(answer);
      return everyMs;
    };
    const once = async () => {
      if (asking || isGone()) return;
      asking = true;
      let wait: number;
      try {
        const answer = await ask(gone.signal);
        if (isGone()) return;
        wait = answered(answer);
      } catch (error) {
        if (isGone()) return;
        wait = failed(problemOf(error));
      } finally {
        asking = false;
      }
      later(wait);
    };
    const shown = () => (document.hidden ? window.clearTimeout(timer) : later(0));
    document.addEventListener("visibilitychange", shown);
    wake.current = () => later(0);
    void once();
    return () => {
      gone.abort();
      window.clearTimeout(timer);
      document.removeEventListener("visibilitychange", shown);
    };
  }, [ask, take, everyMs]);
  return { problem, now: useCallback(() => wake.current(), []) };
}
