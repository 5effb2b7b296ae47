// Polling and the server's clock, as hooks.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { type Problem, problemOf } from "../api/problem";

const BACK_OFF_MAX_MS = 10_000;

/**
 * Ask again `everyMs` after each answer, never twice at once, not while the page is hidden; after a
 * failure more and more seldom (or as the server says), up to ten seconds.
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
    let timer = 0;
    let failures = 0;
    let asking = false;
    const later = (ms: number) => {
      clearTimeout(timer);
      if (!gone.signal.aborted && !document.hidden) timer = window.setTimeout(once, ms);
    };
    const once = async () => {
      if (asking || gone.signal.aborted) return;
      asking = true;
      let wait = everyMs;
      try {
        take(await ask(gone.signal));
        failures = 0;
        setProblem(null);
      } catch (error) {
        if (gone.signal.aborted) return;
        const found = problemOf(error);
        failures += 1;
        const backOff = Math.min(BACK_OFF_MAX_MS, everyMs * 2 ** failures);
        wait = Math.max((found.retryAfterS ?? 0) * 1000, backOff * (0.5 + Math.random() / 2));
        if (!found.passing) wait = BACK_OFF_MAX_MS;
        setProblem(found);
      } finally {
        asking = false;
      }
      later(wait);
    };
    const shown = () => (document.hidden ? clearTimeout(timer) : later(0));
    document.addEventListener("visibilitychange", shown);
    wake.current = () => later(0);
    void once();
    return () => {
      gone.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", shown);
    };
  }, [ask, take, everyMs]);
  return { problem, now: useCallback(() => wake.current(), []) };
}
