// The time left to pay, always in sight, by the server's clock. It warns at 60 and at 20 seconds, and
// can be moved once with one tap.
import { useState } from "preact/hooks";
import { problemOf } from "../../api/problem";
import { clockText, DEADLINE_MILESTONES, urgency } from "../../clock/countdown";
import { useRemaining } from "../../clock/useRemaining";
import { t } from "../../i18n";
import { timeOfDay } from "../../i18n/format";
import type { Buyer } from "../../purchase/buyer";
import { useMilestones } from "../../ui/useMilestones";

export function Deadline({ buyer, payByMs }: { buyer: Buyer; payByMs: number }) {
  const left = useRemaining(payByMs);
  const how = urgency(left.totalS);
  useMilestones(left, DEADLINE_MILESTONES, () => t("deadline.spoken", { time: clockText(left) }));
  return (
    <div class={`deadline deadline-${how}`}>
      <p class="small deadline-words">
        <span>{t("deadline.left")}</span>
        <span>
          {how === "calm"
            ? t("deadline.until", { time: timeOfDay(payByMs) })
            : t(how === "warn" ? "deadline.warn" : "deadline.last")}
        </span>
      </p>
      <b class="digits" role="timer" translate={false}>
        {clockText(left)}
      </b>
      <Extend buyer={buyer} />
    </div>
  );
}

function Extend({ buyer }: { buyer: Buyer }) {
  const [busy, setBusy] = useState(false);
  const [said, setSaid] = useState("");
  const { extended } = buyer.purchase.value.place;
  const ask = async () => {
    setBusy(true);
    try {
      await buyer.extend();
      setSaid(t("deadline.extended"));
    } catch (error) {
      problemOf(error);
      await buyer.ask(); // it may have been done, and its answer lost
      setSaid(buyer.purchase.peek().place.extended ? "" : t("deadline.not-extended"));
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      {extended !== true && (
        <button
          type="button"
          class="button button-small button-on-deadline"
          disabled={busy}
          onClick={() => void ask()}
        >
          {t("deadline.extend")}
        </button>
      )}
      <span class="small deadline-said" role="status">
        {said}
      </span>
    </>
  );
}
