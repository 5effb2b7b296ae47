// The values and mistakes of a form: each field is checked when it is left, all when it is sent.
import { useRef, useState } from "preact/hooks";
import { type Key, t } from "../i18n";
import type { Check } from "./validation";

export interface Form<N extends string> {
  values: Record<N, string>;
  /** Props for a Field of that name. */
  field(name: N): {
    name: string;
    value: string;
    error: string | null;
    onValue: (value: string) => void;
    onBlur: () => void;
  };
  set(name: N, value: string): void;
  /** A mistake that the server found. */
  wrong(name: string, message: string): void;
  /** Checks everything, and leads to the first mistake. */
  good(form: HTMLFormElement): boolean;
}

export function useForm<N extends string>(
  start: Record<N, string>,
  checks: Record<N, Check>,
): Form<N> {
  const [values, setValues] = useState(start);
  const [errors, setErrors] = useState<Partial<Record<string, Key>>>({});
  const [said, setSaid] = useState<Partial<Record<string, string>>>({});
  const latest = useRef(values);
  latest.current = values;

  const check = (name: N): Key | null => checks[name](latest.current[name]);
  const mark = (name: string, key: Key | null) =>
    setErrors((old) => ({ ...old, [name]: key ?? undefined }));
  const set = (name: N, value: string) => {
    latest.current = { ...latest.current, [name]: value };
    setValues(latest.current);
    setSaid((old) => ({ ...old, [name]: undefined }));
    if (errors[name]) mark(name, check(name));
  };
  return {
    values,
    set,
    field: (name) => {
      const error = errors[name];
      return {
        name,
        value: values[name],
        error: said[name] ?? (error ? t(error) : null),
        onValue: (value) => set(name, value),
        onBlur: () => latest.current[name] && mark(name, check(name)),
      };
    },
    wrong: (name, message) => setSaid((old) => ({ ...old, [name]: message })),
    good: (form) => {
      const names = Object.keys(checks) as N[];
      for (const name of names) mark(name, check(name));
      const first = names.find((name) => check(name) !== null);
      if (!first) return true;
      form.querySelector<HTMLElement>(`[name="${first}"]`)?.focus();
      return false;
    },
  };
}
