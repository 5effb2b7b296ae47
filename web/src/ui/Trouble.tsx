// A page that cannot be shown now: no network, or a shop that does not answer. It tries again itself.
import { useEffect } from "preact/hooks";
import type { Problem } from "../api/problem";
import { t } from "../i18n";
import { Icon } from "./Icon";

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
  return (
    <section class="empty" role="status">
      <span class="empty-sign">
        <Icon name="cloud" />
      </span>
      <h1>{t(offline ? "offline.title" : "trouble.title")}</h1>
      <p>{t(offline ? "offline.text" : "trouble.text")}</p>
      <button type="button" class="button" onClick={again}>
        {t("retry")}
      </button>
    </section>
  );
}
