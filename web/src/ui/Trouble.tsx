// A page that cannot be shown now: no network, or a shop that does not answer. It tries again itself.
import { useEffect } from "preact/hooks";
import type { Problem } from "../api/problem";
import { t } from "../i18n";
import { EmptyPage } from "./EmptyPage";

const AGAIN_MS = 4_000;

export function Trouble({ problem, again }: { problem: Problem; again: () => void }) {
  useEffect(() => {
    const wait = (problem.retryAfterS ?? 0) * 1000 + AGAIN_MS * (0.5 + Math.random());
    const timer = window.setTimeout(again, wait);
    addEventListener("online", again);
    return () => {
      window.clearTimeout(timer);
      removeEventListener("online", again);
    };
  }, [problem, again]);
  const offline = problem.code === "offline" && !navigator.onLine;
  const title = t(offline ? "offline.title" : "trouble.title");
  const text = t(offline ? "offline.text" : "trouble.text");
  return (
    <EmptyPage icon="cloud" title={title} text={text} spoken>
      <button type="button" class="button" onClick={again}>
        {t("retry")}
      </button>
    </EmptyPage>
  );
}
