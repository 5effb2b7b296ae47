// A countdown to a server time as a hook: renders when the shown second changes and exactly at zero.
import { useEffect, useState } from "preact/hooks";
import { nextChangeMs, type Remaining, remaining } from "./countdown";
import { offset, serverNow } from "./server";

const LONGEST_SLEEP_MS = 1000;

export function useRemaining(targetMs: number): Remaining {
  const known = offset.value;
  const [, redraw] = useState(0);
  useEffect(() => {
    let timer = 0;
    const arm = () => {
      const wait = nextChangeMs(targetMs, serverNow());
      if (wait === null) return;
      timer = window.setTimeout(
        () => {
          redraw((n) => n + 1);
          arm();
        },
        Math.min(wait + 1, LONGEST_SLEEP_MS),
      );
    };
    arm();
    return () => window.clearTimeout(timer);
  }, [targetMs, known?.offsetMs]);
  return remaining(targetMs, serverNow());
}
