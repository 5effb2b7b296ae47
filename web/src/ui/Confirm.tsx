// A question before something that cannot be undone.
import { type Key, t } from "../i18n";
import { useModal } from "./useModal";

interface Props {
  title: Key;
  text: Key;
  yes: Key;
  onYes: () => void;
  onNo: () => void;
}

export function Confirm({ title, text, yes, onYes, onNo }: Props) {
  const dialog = useModal();
  return (
    <dialog ref={dialog} class="dialog" aria-labelledby="confirm-title" onClose={onNo}>
      <h2 id="confirm-title">{t(title)}</h2>
      <p>{t(text)}</p>
      <div class="dialog-actions">
        <button type="button" class="button button-quiet" onClick={onNo}>
          {t("cancel")}
        </button>
        <button type="button" class="button" onClick={onYes}>
          {t(yes)}
        </button>
      </div>
    </dialog>
  );
}
