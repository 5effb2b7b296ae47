// Somebody else has saved what is edited here since it was opened: whose version shall it be?
import { useState } from "preact/hooks";
import { type Problem, problemOf } from "../../api/problem";
import { type Key, t } from "../text";
import { said } from "./Note";

interface Props {
  words: Key;
  onTheirs: () => Promise<void>;
  onMine: () => Promise<void>;
}

export function Overtaken({ words, onTheirs, onMine }: Props) {
  const [problem, setProblem] = useState<Problem | null>(null);
  const doing = (act: () => Promise<void>) => () =>
    act().catch((error: unknown) => setProblem(problemOf(error)));
  return (
    <>
      <p class="note warn">{t(words)}</p>
      <div class="row">
        <button type="button" class="button" onClick={doing(onTheirs)}>
          {t("overtaken.theirs")}
        </button>
        <button type="button" class="button" onClick={doing(onMine)}>
          {t("overtaken.mine")}
        </button>
      </div>
      {problem && <p class="note bad">{said(problem)}</p>}
    </>
  );
}
