// A labelled input with its hint and its mistake, tied together for everybody.
import type { ComponentChildren, InputHTMLAttributes } from "preact";
import { useState } from "preact/hooks";
import { type Key, t } from "../i18n";
import { useTie } from "./useTie";

interface Props {
  label: Key;
  value: string;
  onValue: (value: string) => void;
  name: string;
  /** A mistake, as a text of the shop or as the server said it. */
  error?: string | null | undefined;
  hint?: Key;
  type?: "text" | "email" | "tel" | "password";
  autocomplete: string;
  inputMode?: "numeric" | "tel" | "email" | "text";
  /** A box of several lines. */
  lines?: number;
  maxLength?: number;
  onBlur?: () => void;
  disabled?: boolean;
}

export function Field(props: Props) {
  const [shown, setShown] = useState(false);
  const { label, value, onValue, error, hint, lines, type = "text" } = props;
  const { tie, hintId, errorId } = useTie(hint, error);
  const shared = {
    ...tie,
    name: props.name,
    value,
    autocomplete: props.autocomplete as NonNullable<InputHTMLAttributes["autocomplete"]>,
    maxLength: props.maxLength ?? 200,
    disabled: props.disabled ?? false,
    onBlur: props.onBlur,
  };
  return (
    <div class={error ? "field field-wrong" : "field"}>
      <label for={tie.id}>{t(label)}</label>
      {lines ? (
        <textarea
          {...shared}
          rows={lines}
          onInput={(event) => onValue(event.currentTarget.value)}
        />
      ) : (
        <input
          {...shared}
          type={(shown ? "text" : type) as "text"} // Preact wants one kind, not a choice of kinds
          inputMode={props.inputMode}
          onInput={(event) => onValue(event.currentTarget.value)}
        />
      )}
      {hint && (
        <p class="field-hint" id={hintId}>
          {t(hint)}
        </p>
      )}
      {type === "password" && <ShowPassword shown={shown} onShown={setShown} />}
      {error && (
        <p class="field-error" id={errorId}>
          {error}
        </p>
      )}
    </div>
  );
}

function ShowPassword({ shown, onShown }: { shown: boolean; onShown: (shown: boolean) => void }) {
  return (
    <label class="check">
      <input
        type="checkbox"
        checked={shown}
        onChange={(event) => onShown(event.currentTarget.checked)}
      />
      {t("field.show-password")}
    </label>
  );
}

/** What a form says about the whole of itself; read out when it appears. */
export function FormError({ children }: { children: ComponentChildren }) {
  return (
    <div class="notice notice-bad" role="alert">
      {children}
    </div>
  );
}
