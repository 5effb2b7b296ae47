// The time until a sale opens, by the server's clock. Shown every second, spoken at few moments.
import { clockText, OPENING_MILESTONES, twoDigits } from "../clock/countdown";
import { useRemaining } from "../clock/useRemaining";
import { t } from "../i18n";
import { useMilestones } from "./useMilestones";

export function Countdown({ untilMs }: { untilMs: number }) {
  const left = useRemaining(untilMs);
  useMilestones(left, OPENING_MILESTONES, () =>
    left.totalS === 0 ? t("countdown.open") : t("countdown.spoken", { time: clockText(left) }),
  );
  const parts = [
    ...(left.days > 0 ? [["days", left.days] as const] : []),
    ["hours", left.hours] as const,
    ["minutes", left.minutes] as const,
    ["seconds", left.seconds] as const,
  ];
  return (
    <div class={left.totalS <= 10 ? "countdown countdown-soon" : "countdown"} role="timer">
      <span class="countdown-label">{t("countdown.label")}</span>
      <span class="countdown-parts">
        {parts.map(([unit, value]) => (
          <span class="countdown-part" key={unit}>
            <b translate={false}>{twoDigits(value)}</b>
            <span>{t(`countdown.${unit}`, { n: value })}</span>
          </span>
        ))}
      </span>
    </div>
  );
}

/** The same in one line, for lists. */
export function ShortCountdown({ untilMs }: { untilMs: number }) {
  return (
    <span class="digits" translate={false}>
      {clockText(useRemaining(untilMs))}
    </span>
  );
}
