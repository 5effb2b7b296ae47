// A list that comes in pages: what was loaded stays, the button loads what follows.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { type Problem, problemOf } from "../../api/problem";
import type { Page } from "../server";
import { t } from "../text";
import { Loading, ProblemNote } from "./Note";

export interface Paged<T> {
  items: T[];
  /** Nothing came yet. */
  fresh: boolean;
  busy: boolean;
  more: boolean;
  problem: Problem | null;
  next: () => void;
}

interface State<T> {
  items: T[];
  cursor: string | null;
  fresh: boolean;
  busy: boolean;
  problem: Problem | null;
}

const START = { items: [], cursor: null, fresh: true, busy: true, problem: null };

/** The pages of `ask`, from the first again whenever `key` changes. */
export function usePages<T>(
  ask: (cursor: string | null) => Promise<Page<T>>,
  key: unknown,
): Paged<T> {
  const [state, setState] = useState<State<T>>(START);
  const wanted = useRef(0); // the newest question; answers to earlier ones are not shown
  const load = useCallback(
    async (cursor: string | null) => {
      const question = ++wanted.current;
      setState((old) => (cursor ? { ...old, busy: true } : { ...START, items: old.items }));
      try {
        const page = await ask(cursor);
        if (question !== wanted.current) return;
        setState((old) => ({
          items: cursor ? [...old.items, ...page.items] : page.items,
          cursor: page.next_cursor,
          fresh: false,
          busy: false,
          problem: null,
        }));
      } catch (error) {
        const problem = problemOf(error);
        if (question === wanted.current) setState((old) => ({ ...old, busy: false, problem }));
      }
    },
    [ask],
  );
  useEffect(() => {
    void load(null);
  }, [key]);
  const next = () => void load(state.cursor);
  return { ...state, more: state.cursor !== null, next };
}

export function Pager<T>({ pages }: { pages: Paged<T> }) {
  return (
    <div class="pager">
      <ProblemNote problem={pages.problem} onRetry={pages.next} />
      {pages.busy && <Loading />}
      {pages.more && !pages.busy && (
        <button type="button" class="button" onClick={pages.next}>
          {t("more")}
        </button>
      )}
    </div>
  );
}
