// Milestones: the few moments of a countdown that screen readers are told of.
import { useEffect, useRef } from "preact/hooks";
import { milestone, type Remaining } from "../clock/countdown";
import { announce } from "./announce";

/** Announces `words` when one of `milestones`, in seconds, is passed. */
export function useMilestones(
  left: Remaining,
  milestones: readonly number[],
  words: () => string,
): void {
  const before = useRef<number | null>(null);
  useEffect(() => {
    const passed = milestone(before.current, left.totalS, milestones);
    before.current = left.totalS;
    if (passed !== null) announce(words());
  }, [left.totalS]);
}
