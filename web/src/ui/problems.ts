// A Problem in words, where no page says it better.
import type { Problem } from "../api/problem";
import { t } from "../i18n";

export function problemText(problem: Problem): string {
  if (problem.code === "offline") return t("offline.text");
  if (problem.status === 429) return t("error.rate");
  if (problem.passing) return t("error.passing");
  return t("error.other", { code: problem.code });
}
