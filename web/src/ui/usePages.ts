// Pages of a list: what was loaded stays, `next` loads what follows.
import { useCallback, useEffect, useState } from "preact/hooks";
import type { Problem } from "../api/problem";
import type { Page } from "../api/types";
import { useNewest } from "./useNewest";

interface State<T> {
  items: T[];
  cursor: string | null;
  /** Nothing came yet. */
  fresh: boolean;
  busy: boolean;
  problem: Problem | null;
}

export interface Pages<T> extends State<T> {
  /** Loads what follows, or what failed. */
  next: () => void;
}

const START = { items: [], cursor: null, fresh: true, busy: true, problem: null };

/**
 * The pages of `load`, from the first again when `key` changes; until that has come the old items stay.
 * Of two loads the newer counts.
 *
 * @param key names all that `load` depends on.
 */
export function usePages<T>(
  load: (cursor: string | null) => Promise<Page<T>>,
  key: unknown = null,
): Pages<T> {
  const [state, setState] = useState<State<T>>(START);
  const { hear, forget } = useNewest();
  const from = (cursor: string | null) => {
    forget();
    hear(
      load(cursor),
      ({ items, next_cursor }) =>
        setState((old) => ({
          items: cursor === null ? items : [...old.items, ...items],
          cursor: next_cursor,
          fresh: false,
          busy: false,
          problem: null,
        })),
      (problem) => setState((old) => ({ ...old, busy: false, problem })),
    );
  };
  useEffect(() => {
    setState((old) => ({ ...START, items: old.items }));
    from(null);
    return forget;
  }, [key]);
  const next = useCallback(() => {
    setState((old) => ({ ...old, busy: true }));
    from(state.cursor);
  }, [key, state.cursor]);
  return { ...state, next };
}
