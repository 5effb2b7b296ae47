// What went wrong, in words, said to screen readers too; and empty places.
import type { ComponentChildren } from "preact";
import type { Problem } from "../../api/problem";
import { type Key, t } from "../text";

const SAID: Record<string, Key> = {
  offline: "problem.offline",
  timeout: "problem.timeout",
  unavailable: "problem.unavailable",
  overloaded: "problem.unavailable",
  internal: "problem.internal",
  rate_limited: "problem.rate_limited",
  not_found: "problem.not_found",
};

/** A problem in words; what only the server knows (why it conflicts) is said in its own. */
export function problemText(problem: Problem): string {
  const key = SAID[problem.code];
  return key ? t(key) : problem.message;
}

export function ProblemNote({
  problem,
  onRetry,
}: {
  problem: Problem | null;
  onRetry?: () => void;
}) {
  return (
    <div role="alert">
      {problem && (
        <p class="note bad">
          {problemText(problem)}
          {onRetry && (
            <button type="button" class="link" onClick={onRetry}>
              {t("retry")}
            </button>
          )}
        </p>
      )}
    </div>
  );
}

export function Empty({ children }: { children: ComponentChildren }) {
  return <p class="empty">{children}</p>;
}

export function Loading() {
  return (
    <p class="quiet" aria-busy="true">
      {t("loading")}
    </p>
  );
}

/** In the place of what has not been loaded: why not, or that it is on its way. */
export function NotYet(props: { problem: Problem | null; onRetry: () => void }) {
  return props.problem ? <ProblemNote {...props} /> : <Loading />;
}
