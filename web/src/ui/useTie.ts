// Tie: connects a control with its label, its hint and its mistake, for screen readers.
import { useId } from "preact/hooks";

/** Attributes of the control. */
export interface Tie {
  id: string;
  "aria-invalid": true | undefined;
  "aria-describedby": string | undefined;
}

/** The tie, and the ids of the elements that say the hint and the mistake, if there are any. */
export function useTie(hint: unknown, mistake: unknown) {
  const id = useId();
  const hintId = `${id}-hint`;
  const errorId = `${id}-error`;
  const described = [hint && hintId, mistake && errorId].filter(Boolean).join(" ");
  const tie: Tie = {
    id,
    "aria-invalid": mistake ? true : undefined,
    "aria-describedby": described || undefined,
  };
  return { tie, hintId, errorId };
}
