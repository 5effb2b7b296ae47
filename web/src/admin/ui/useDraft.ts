// Draft: what is typed into a form, beside what the server has. A visitor who leaves with unsaved changes
// is asked.
import type { VNode } from "preact";
import { useRef, useState } from "preact/hooks";
import { useUnsaved } from "../guard";

export interface Drafting<D> {
  draft: D;
  /** Something is not saved. */
  dirty: boolean;
  /** What is wrong, by the API's names of fields; "form" is the whole. */
  errors: Record<string, string>;
  /** What was done last, in words. */
  told: string;
  /** Somebody else has saved another version. */
  overtaken: boolean;
  /** The version that this form began with; null: whatever there is now. */
  version: { current: string | null };
  /** To be rendered: asks whether to leave. */
  question: VNode | null;
  set: (part: Partial<D>) => void;
  /** The server has `now`, at this version; what was typed stays. */
  saved: (now: D, version: string) => void;
  /** The same, and the form shows it. */
  replace: (now: D, version: string) => void;
  setErrors: (errors: Record<string, string>) => void;
  setTold: (told: string) => void;
  setOvertaken: (overtaken: boolean) => void;
}

/** @param start what the server has when the form is opened, and its version. */
export function useDraft<D extends object>(
  start: () => D,
  startVersion: string | null,
): Drafting<D> {
  const [known, setKnown] = useState(start);
  const [draft, setDraft] = useState(known);
  const [errors, setErrors] = useState<Record<string, string>>({});
  const [told, setTold] = useState("");
  const [overtaken, setOvertaken] = useState(false);
  const version = useRef(startVersion);
  const dirty = JSON.stringify(draft) !== JSON.stringify(known);
  const set = (part: Partial<D>) => {
    setDraft({ ...draft, ...part });
    setTold("");
  };
  const saved = (now: D, at: string) => {
    setKnown(now);
    setErrors({});
    setOvertaken(false);
    version.current = at;
  };
  const replace = (now: D, at: string) => {
    saved(now, at);
    setDraft(now);
  };
  const question = useUnsaved(dirty);
  const state = { draft, dirty, errors, told, overtaken, version, question };
  return { ...state, set, saved, replace, setErrors, setTold, setOvertaken };
}
