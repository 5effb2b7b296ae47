// Lets in whom the server lets in: one small request tells, and nobody else is shown a page.
import type { ComponentChildren } from "preact";
import type { Problem } from "../api/problem";
import { place } from "../router";
import { signPath } from "../session/afterwards";
import { useLoad } from "../ui/useLoad";
import { server } from "./server";
import { t } from "./text";
import { NotYet } from "./ui/Note";

const ask = () => server.trail(null, null, 1);

export function Gate({ children }: { children: ComponentChildren }) {
  const { value, problem, again } = useLoad(ask);
  if (value) return <>{children}</>;
  return (
    <main class="console-page" id="content" tabIndex={-1}>
      <Outside problem={problem} onRetry={again} />
    </main>
  );
}

function Outside({ problem, onRetry }: { problem: Problem | null; onRetry: () => void }) {
  if (problem?.status === 401) {
    return (
      <section class="gate">
        <h1>{t("gate.sign_in")}</h1>
        <p class="quiet">{t("gate.sign_in_why")}</p>
        <a class="button primary" href={signPath(place.value.path)}>
          {t("gate.sign_in_link")}
        </a>
      </section>
    );
  }
  if (problem?.status === 403) {
    return (
      <section class="gate">
        <h1>{t("gate.forbidden")}</h1>
        <p class="quiet">{t("gate.forbidden_why")}</p>
        <a class="button" href="/">
          {t("gate.to_shop")}
        </a>
      </section>
    );
  }
  return <NotYet problem={problem} onRetry={onRetry} />;
}
