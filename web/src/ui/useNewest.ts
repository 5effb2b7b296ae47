// Newest: of several promises under way, a component hears the newest. What comes late, after a newer one
// has come, is dropped. So is all that began before `forget`.
import { useMemo } from "preact/hooks";
import { type Problem, problemOf } from "../api/problem";

export interface Newest {
  /** Tells what `promise` comes to, unless it comes late. */
  hear<T>(
    promise: Promise<T>,
    answered: (value: T) => void,
    failed: (problem: Problem) => void,
  ): void;
  /** Call it when something else is wanted, and when the component goes. */
  forget(): void;
}

/** Returns the same object as long as the component lives. */
export function useNewest(): Newest {
  return useMemo(() => {
    let begun = 0;
    let heard = 0;
    const hear: Newest["hear"] = (promise, answered, failed) => {
      begun += 1;
      const number = begun;
      const tell = (news: () => void) => {
        if (number <= heard) return;
        heard = number;
        news();
      };
      promise.then(
        (value) => tell(() => answered(value)),
        (error: unknown) => {
          const problem = problemOf(error);
          tell(() => failed(problem));
        },
      );
    };
    const forget = () => {
      heard = begun;
    };
    return { hear, forget };
  }, []);
}
