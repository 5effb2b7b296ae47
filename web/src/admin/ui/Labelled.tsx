// A labelled field with its hint and its error beside it, tied together for screen readers.
import type { ComponentChildren } from "preact";
import { type Tie, useTie } from "../../ui/useTie";

interface LabelledProps {
  label: string;
  error?: string | undefined;
  hint?: ComponentChildren;
  /** Gets what ties the control to its label, hint and error. */
  children: (tie: Tie) => ComponentChildren;
}

export function Labelled({ label, error, hint, children }: LabelledProps) {
  const { tie, hintId, errorId } = useTie(hint, error);
  return (
    <div class={error ? "field wrong" : "field"}>
      <label for={tie.id}>{label}</label>
      {children(tie)}
      {error && (
        <p class="error" id={errorId}>
          {error}
        </p>
      )}
      {hint && (
        <p class="hint" id={hintId}>
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
    <Labelled label={label} error={error} hint={hint}>
      {(tie) => <Control {...props} tie={tie} />}
    </Labelled>
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

export type Option = [value: string, text: string];

interface SelectProps {
  label: string;
  value: string;
  options: Option[];
  onValue: (value: string) => void;
  error?: string | undefined;
  hint?: ComponentChildren;
}

export function SelectField({ label, value, options, onValue, error, hint }: SelectProps) {
  return (
    <Labelled label={label} error={error} hint={hint}>
      {(tie) => (
        <select {...tie} value={value} onChange={(event) => onValue(event.currentTarget.value)}>
          {options.map(([key, text]) => (
            <option key={key} value={key}>
              {text}
            </option>
          ))}
        </select>
      )}
    </Labelled>
  );
}
