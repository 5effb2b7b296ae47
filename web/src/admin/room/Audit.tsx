// Audit: what the last one of a sale found, and the button that begins another.
import { useEffect, useRef, useState } from "preact/hooks";
import { serverNow } from "../../clock/server";
import { whileVisible } from "../../clock/whileVisible";
import { span } from "../format";
import { type Stats, server, type Verdict } from "../server";
import { t } from "../text";
import { ProblemNote } from "../ui/Note";
import { useAction } from "../ui/useAction";

export function Audit({ stats, onChecked }: { stats: Stats; onChecked: () => void }) {
  const { busy, problem, run } = useAction();
  const running = stats.audit_run;
  const seen = useRef<number | null>(null); // when the audit began that was under way last
  if (running) seen.current = running.started_at_ms;
  const lost =
    !running && seen.current !== null && (stats.audit?.checked_at_ms ?? 0) < seen.current;
  const check = () =>
    run(async () => {
      seen.current = null;
      await server.check(stats.sale_id);
      onChecked();
    });
  return (
    <div class="audit">
      <AuditVerdict verdict={stats.audit} />
      {running && <p class="small quiet">{t("audit.running", { n: running.looked })}</p>}
      {lost && <p class="small quiet">{t("audit.lost")}</p>}
      {stats.phase !== "settled" && (
        <button
          type="button"
          class="button small"
          onClick={check}
          disabled={busy || running !== null}
        >
          {busy || running ? t("audit.checking") : t("audit.check")}
        </button>
      )}
      <ProblemNote problem={problem} />
    </div>
  );
}

function AuditVerdict({ verdict }: { verdict: Verdict | null }) {
  const [, redraw] = useState(0);
  useEffect(() => whileVisible(1_000, () => redraw((n) => n + 1)), []);
  if (!verdict) return <p class="badge">{t("audit.none")}</p>;
  const ago = span(Math.max(1_000, Math.round(serverNow() - verdict.checked_at_ms)));
  return (
    <div role="status">
      <p class={`badge ${verdict.clean ? "good" : "bad"}`}>
        {verdictText(verdict)}
        <span class="small">{t("ago", { span: ago })}</span>
      </p>
      <Findings verdict={verdict} />
    </div>
  );
}

/** What an audit came to. */
export function verdictText({ clean, whole }: Verdict): string {
  if (!clean) return t("audit.broken");
  return t(whole ? "audit.clean" : "audit.sample");
}

/** What is broken, and how. */
export function Findings({ verdict }: { verdict: Verdict }) {
  if (verdict.clean) return null;
  return (
    <ul class="findings">
      {verdict.findings.map(({ invariant, detail }) => (
        <li key={invariant + detail}>
          <strong>{invariant}</strong> {detail}
        </li>
      ))}
    </ul>
  );
}
