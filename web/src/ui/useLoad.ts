// Loading: what a page asks for when it is shown, or why there is none, and a way to ask again.
import { useCallback, useEffect, useState } from "preact/hooks";
import type { Problem } from "../api/problem";
import { useNewest } from "./useNewest";

interface Answer<T> {
  value: T | null;
  problem: Problem | null;
}

export interface Loaded<T> extends Answer<T> {
  again: () => void;
}

const NOTHING: Answer<never> = { value: null, problem: null };

/**
 * The value stays while it is asked for again, and when that fails; the problem stays until the answer.
 *
 * @param key names what is loaded: another key loads anew, and shows nothing of the one before.
 */
export function useLoad<T>(load: () => Promise<T>, key: unknown = null): Loaded<T> {
  const [known, setKnown] = useState<Answer<T> & { key: unknown }>({ ...NOTHING, key });
  const { hear, forget } = useNewest();
  const again = useCallback(() => {
    hear(
      load(),
      (value) => setKnown({ key, value, problem: null }),
      (problem) => setKnown((old) => ({ key, value: old.key === key ? old.value : null, problem })),
    );
  }, [key]);
  useEffect(() => {
    again();
    return forget;
  }, [again]);
  const { value, problem } = known.key === key ? known : NOTHING;
  return { value, problem, again };
}
