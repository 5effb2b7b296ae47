// A labelled field with its hint and its error beside it, tied together for screen readers.
import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";

interface FieldProps {
  label: string;
  error?: string | undefined;
  hint?: ComponentChildren;
  /** Gets what ties the control to its label, hint and error. */
  children: (tie: Tie) => ComponentChildren;
}

export interface Tie {
  id: string;
  "aria-invalid": boolean;
  "aria-describedby"?: string;
}

export function Field({ label, error, hint, children }: FieldProps) {
  const id = useId();
  const described = [error && `${id}-error`, hint && `${id}-hint`].filter(Boolean).join(" ");
  const tie: Tie = { id, "aria-invalid": Boolean(error) };
  if (described) tie["aria-describedby"] = described;
  return (
    <div class={error ? "field wrong" : "field"}>
      <label for={id}>{label}</label>
      {children(tie)}
      {error && (
        <p class="error" id={`${id}-error`}>
          {error}
        </p>
      )}
      {hint && (
        <p class="hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
    </div>
  );
}

interface InputProps {
  label: string;
  value: string;
  onValue: (value: string) => void;
  type?: "text" | "search" | "datetime-local";
  inputMode?: "text" | "numeric" | "decimal";
  maxLength?: number;
  /** Seconds, of a time. */
  step?: number;
  required?: boolean;
  error?: string | undefined;
  hint?: ComponentChildren;
}

export function TextField(props: InputProps) {
  const { label, error, hint } = props;
  return (
    <Field label={label} error={error} hint={hint}>
      {(tie) => <Control {...props} tie={tie} />}
    </Field>
  );
}

function Control({ tie, ...props }: InputProps & { tie: Tie }) {
  const { inputMode, maxLength, step, required } = props;
  const shared = {
    ...tie,
    value: props.value,
    autocomplete: "off",
    onInput: (event: { currentTarget: HTMLInputElement }) =>
      props.onValue(event.currentTarget.value),
    ...(maxLength && { maxLength }),
    ...(required && { required }),
  } as const;
  if (props.type === "datetime-local") {
    return <input type="datetime-local" {...shared} step={step ?? 60} />;
  }
  if (props.type === "search") return <input type="search" {...shared} />;
  return <input type="text" {...shared} inputMode={inputMode ?? "text"} />;
}
