// The time until a sale opens, by the server's clock. Shown every second, spoken at few moments.
import { useEffect, useRef } from "preact/hooks";
import { clockText, milestone, OPENING_MILESTONES, type Remaining } from "../clock/countdown";
import { useRemaining } from "../clock/useRemaining";
import { t } from "../i18n";
import { announce } from "./announce";

export function Countdown({ untilMs }: { untilMs: number }) {
  const left = useRemaining(untilMs);
  useSpoken(left);
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
            <b translate={false}>{String(value).padStart(2, "0")}</b>
            <span>{t(`countdown.${unit}`, { n: value })}</span>
          </span>
        ))}
      </span>
    </div>
  );
}

/** Tells screen readers at the milestones, and when it has come. */
function useSpoken(left: Remaining): void {
  const before = useRef<number | null>(null);
  useEffect(() => {
    const passed = milestone(before.current, left.totalS, OPENING_MILESTONES);
    if (passed !== null) announce(t("countdown.spoken", { time: clockText(left) }));
    if (left.totalS === 0 && before.current !== 0) announce(t("countdown.open"));
    before.current = left.totalS;
  }, [left.totalS]);
}

/** The same in one line, for lists. */
export function ShortCountdown({ untilMs }: { untilMs: number }) {
  return (
    <span class="digits" translate={false}>
      {clockText(useRemaining(untilMs))}
    </span>
  );
}
