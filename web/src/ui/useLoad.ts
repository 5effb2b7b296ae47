// What a page loads when it is shown: the value, or why there is none, and a way to ask again.
import { useCallback, useEffect, useState } from "preact/hooks";
import { type Problem, problemOf } from "../api/problem";

export interface Loaded<T> {
  value: T | null;
  problem: Problem | null;
  again: () => void;
}

/** @param key loads anew when it changes. */
export function useLoad<T>(load: () => Promise<T>, key: string): Loaded<T> {
  const [state, setState] = useState<{ value: T | null; problem: Problem | null }>({
    value: null,
    problem: null,
  });
  const again = useCallback(() => {
    load().then(
      (value) => setState({ value, problem: null }),
      (error) => setState((old) => ({ ...old, problem: problemOf(error) })),
    );
  }, [key]);
  useEffect(() => again(), [again]);
  return { ...state, again };
}
