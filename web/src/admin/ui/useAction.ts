// Action: does something on a press, and tells whether it is under way, and why it failed.
import { useState } from "preact/hooks";
import { type Problem, problemOf } from "../../api/problem";

export interface Action {
  busy: boolean;
  problem: Problem | null;
  run: (work: () => Promise<unknown>) => Promise<void>;
  /** The problem is seen to. */
  clear: () => void;
}

export function useAction(): Action {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const run = async (work: () => Promise<unknown>) => {
    setBusy(true);
    setProblem(null);
    try {
      await work();
    } catch (error) {
      setProblem(problemOf(error));
    } finally {
      setBusy(false);
    }
  };
  return { busy, problem, run, clear: () => setProblem(null) };
}
