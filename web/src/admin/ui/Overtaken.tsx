// Somebody else has saved what is edited here since it was opened: whose version shall it be?
import { type Key, t } from "../text";
import { problemText } from "./Note";
import { useAction } from "./useAction";

interface Props {
  words: Key;
  onTheirs: () => Promise<void>;
  onMine: () => Promise<void>;
}

export function Overtaken({ words, onTheirs, onMine }: Props) {
  const { problem, run } = useAction();
  return (
    <>
      <p class="note warn">{t(words)}</p>
      <div class="row">
        <button type="button" class="button" onClick={() => void run(onTheirs)}>
          {t("overtaken.theirs")}
        </button>
        <button type="button" class="button" onClick={() => void run(onMine)}>
          {t("overtaken.mine")}
        </button>
      </div>
      {problem && <p class="note bad">{problemText(problem)}</p>}
    </>
  );
}
