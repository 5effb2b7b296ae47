// The latest entries of the trail about this sale.
import { useLoad } from "../../ui/useLoad";
import { time } from "../format";
import { server } from "../server";
import { action, whoOf } from "../support/entry";
import { t } from "../text";
import { Empty, ProblemNote } from "../ui/Note";

const SHOWN = 8;

/** `actions` changes when something was done here. */
export function Recent({ saleId, actions }: { saleId: number; actions: number }) {
  const subject = `sale:${saleId}`;
  const {
    value: trail,
    problem,
    again,
  } = useLoad(() => server.trail(subject, null, SHOWN), `${subject}:${actions}`);
  return (
    <section class="panel" aria-labelledby="recent-head">
      <h2 id="recent-head">{t("recent.title")}</h2>
      <ProblemNote problem={problem} onRetry={again} />
      {trail?.items.length === 0 && <Empty>{t("recent.none")}</Empty>}
      <ul class="recent">
        {trail?.items.map((entry) => (
          <li key={entry.id}>
            <strong>{action(entry)}</strong>
            <span class="quiet small">
              {whoOf(entry)} · {time(entry.at_ms)}
            </span>
          </li>
        ))}
      </ul>
      <p>
        <a class="small" href={`/admin/trail?subject=${encodeURIComponent(subject)}`}>
          {t("recent.all")}
        </a>
      </p>
    </section>
  );
}
