// A modal question. The browser's own <dialog> keeps the focus inside, closes on Escape and gives the
// focus back to what opened it.
import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import { useModal } from "../../ui/useModal";
import { t } from "../text";
import { ProblemNote } from "./Note";
import { useAction } from "./useAction";

interface Props {
  title: string;
  /** What the button that does it says. */
  action: string;
  danger?: boolean;
  /** Resolves when it is done; `false` or a Problem keeps the dialog open. */
  onConfirm: () => Promise<unknown>;
  onClose: () => void;
  children?: ComponentChildren;
}

export function Dialog({ title, action, danger, onConfirm, onClose, children }: Props) {
  const dialog = useModal();
  const label = useId();
  const { busy, problem, run } = useAction();
  const confirm = (event: Event) => {
    event.preventDefault();
    void run(async () => {
      if ((await onConfirm()) !== false) onClose();
    });
  };
  return (
    <dialog ref={dialog} class="console-dialog" aria-labelledby={label} onClose={onClose}>
      <form onSubmit={confirm}>
        <h2 id={label}>{title}</h2>
        {children}
        <ProblemNote problem={problem} />
        <div class="row end">
          <button type="button" class="button" onClick={() => dialog.current?.close()}>
            {t("cancel")}
          </button>
          <button type="submit" class={`button ${danger ? "danger" : "primary"}`} disabled={busy}>
            {busy ? t("working") : action}
          </button>
        </div>
      </form>
    </dialog>
  );
}
