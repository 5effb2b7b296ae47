// The phase and what comes next, counted by the server's clock.
import { serverNow } from "../../clock/server";
import { clock, time } from "../format";
import { useTick } from "../hooks";
import type { Stats } from "../server";
import { t } from "../text";
import { PhaseBadge } from "../ui/PhaseBadge";

export function Clock({ stats }: { stats: Stats }) {
  useTick(250);
  const now = serverNow();
  const { phase, opens_at_ms: opens, closes_at_ms: closes, books } = stats;
  let label = "";
  let shown = "";
  if (phase === "scheduled") [label, shown] = [t("clock.opens_in"), clock(opens - now + 999)];
  else if (phase === "settled") label = t("clock.settled");
  else if (phase === "closed") {
    const live = books.held + books.paying;
    label = live ? t("clock.draining", { n: live }) : t("clock.settling");
  } else if (now < opens) [label, shown] = [t("clock.opens_in"), clock(opens - now + 999)];
  else if (now < closes) [label, shown] = [t("clock.closes_in"), clock(closes - now + 999)];
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
