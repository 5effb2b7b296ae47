// The phase and what comes next, counted by the server's clock.
import { useRemaining } from "../../clock/useRemaining";
import { dayClock, time } from "../format";
import type { Stats } from "../server";
import { t } from "../text";
import { PhaseBadge } from "../ui/PhaseBadge";

export function Clock({ stats }: { stats: Stats }) {
  const { phase } = stats;
  const [label, shown] = useNext(stats);
  return (
    <div class="clock">
      <PhaseBadge phase={phase} />
      <div>
        {shown && (
          <span class="time" role="timer" translate={false}>
            {shown}
          </span>
        )}
        <span class="quiet small">{label}</span>
        {phase === "settled" && stats.settled_at_ms && (
          <span class="quiet small">{time(stats.settled_at_ms)}</span>
        )}
      </div>
    </div>
  );
}

/** What comes next, and the time until then if it has one. */
function useNext({ phase, opens_at_ms, closes_at_ms, books }: Stats): [string, string?] {
  const opens = useRemaining(opens_at_ms);
  const closes = useRemaining(closes_at_ms);
  if (phase === "settled") return [t("clock.settled")];
  if (phase === "closed") {
    const live = books.held + books.paying;
    return [live ? t("clock.draining", { n: live }) : t("clock.settling")];
  }
  if (phase === "scheduled" || opens.totalS > 0) return [t("clock.opens_in"), dayClock(opens)];
  return closes.totalS > 0 ? [t("clock.closes_in"), dayClock(closes)] : [""];
}
