// Before the opening and while the button is live: countdown, question, the one press.
import { useState } from "preact/hooks";
import { clockText } from "../../clock/countdown";
import { offset, serverNow } from "../../clock/server";
import { useRemaining } from "../../clock/useRemaining";
import { type Key, t } from "../../i18n";
import { money, number } from "../../i18n/format";
import { signPath } from "../../session/afterwards";
import { user } from "../../session/session";
import { Countdown } from "../../ui/Countdown";
import { FormError } from "../../ui/Field";
import { Icon } from "../../ui/Icon";
import { saveEntry } from "./calendar";
import { Ended } from "./Ended";
import { GetReady } from "./GetReady";
import type { PanelProps } from "./Panel";
import { QuestionBox } from "./QuestionBox";

export function BuyPanel(props: PanelProps) {
  const { sale, stage } = props;
  return (
    <>
      {stage === "before" && (
        <>
          <Countdown untilMs={sale.opens_at_ms} />
          <p class="quiet small countdown-clock">{clockWords()}</p>
        </>
      )}
      <Ended {...props} />
      {(stage === "paused" || stage === "frozen") && (
        <p class="notice notice-warn" role="status">
          {t(`buy.${stage}`)}
        </p>
      )}
      {user.value ? <Ask {...props} /> : <SignInLine {...props} />}
      {stage === "before" && (
        <button
          type="button"
          class="button button-plain with-icon"
          onClick={() => saveEntry(sale, serverNow())}
        >
          <Icon name="calendar" />
          {t("calendar.add")}
        </button>
      )}
      {stage === "before" && user.value && <GetReady />}
    </>
  );
}

function clockWords(): string {
  const known = offset.value;
  if (!known) return t("countdown.clock.guess");
  return t("countdown.clock", { ms: number(Math.max(1, Math.ceil(known.errorMs))) });
}

function SignInLine({ sale, stage }: PanelProps) {
  const here = `/sales/${sale.id}`;
  return (
    <div class="stack">
      <p>{t(stage === "before" ? "buy.sign-in" : "buy.sign-in.open")}</p>
      <a class="button button-wide button-big" href={signPath(here)}>
        {t("menu.sign-in")}
      </a>
      <a class="button button-quiet button-wide" href={signPath(here, "/sign-up")}>
        {t("menu.sign-up")}
      </a>
    </div>
  );
}

function Ask({ visit, sale, stage }: PanelProps) {
  const [answer, setAnswer] = useState<string | null>(null);
  const [asked, setAsked] = useState(false);
  const { press, refusal } = visit.buyer.purchase.value;
  const question = visit.feed.question.value;
  const send = (event: Event) => {
    event.preventDefault();
    setAsked(true);
    if (stage === "open" && answer !== null) void visit.buyer.press(answer);
  };
  const busy = press.step !== "idle";
  const missing = asked && answer === null && stage === "open";
  return (
    <form class="stack" onSubmit={send}>
      <QuestionBox question={question} answer={answer} onAnswer={setAnswer} disabled={busy} />
      {missing && <FormError>{t("buy.choose")}</FormError>}
      {refusal && !busy && stage === "open" && <FormError>{refusalWords(refusal)}</FormError>}
      <button
        type="submit"
        class="button button-wide button-big"
        disabled={stage !== "open" || question === null}
        aria-busy={busy}
      >
        {press.step === "waiting" ? (
          t(UNANSWERED.has(press.code) ? "buy.unanswered" : "buy.busy", { n: press.tries + 1 })
        ) : (
          <ButtonWords price={money(sale.price)} stage={stage} opensAtMs={sale.opens_at_ms} />
        )}
      </button>
    </form>
  );
}

function ButtonWords(props: { price: string; stage: string; opensAtMs: number }) {
  const left = useRemaining(props.opensAtMs);
  if (props.stage === "sending") return <>{t("buy.sending")}</>;
  if (left.totalS > 0) {
    return <span class="digits">{t("buy.wait", { time: clockText(left) })}</span>;
  }
  return <>{t("buy.now", { price: props.price })}</>;
}

const UNANSWERED: ReadonlySet<string> = new Set(["offline", "timeout"]);
const REFUSALS: Record<string, Key> = {
  wrong_answer: "buy.wrong",
  paused: "buy.paused",
  frozen: "buy.frozen",
  closed: "buy.over",
  rate_limited: "buy.rate",
  offline: "connection.offline",
};

function refusalWords(code: string): string {
  const known = REFUSALS[code];
  return known ? t(known) : t("buy.refused", { code });
}
