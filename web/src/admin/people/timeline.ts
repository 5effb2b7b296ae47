// One buyer's rows as events in the order of time.
import type { Story } from "../server";
import { type Key, t } from "../text";

export interface Event {
  atMs: number;
  key: string;
  kind: "press" | "hold" | "payment" | "mail";
  saleId: number;
  text: string;
  detail: string;
}

const HOLD_STATES = new Set(["HELD", "PAYING", "PAID"]);

type InSale = Story["sales"][number];

/** Where a buyer stands in a sale, in one sentence. */
export function standing({ hold, place }: InSale): string {
  if (place?.ungranted) return t("stands.ungranted");
  if (place?.state === "standby") return t("stands.standby", { n: place.position ?? 0 });
  if (!hold) return place ? t(`hold.${place.state}` as Key) : t("stands.none");
  const told = hold.synced || hold.state === "HELD";
  return [
    t(`hold.${stateOf(hold)}` as Key),
    hold.promoted && t("stands.promoted"),
    hold.attempt > 0 && t("stands.attempts", { n: hold.attempt }),
    !told && t("stands.untold"),
  ]
    .filter(Boolean)
    .join(" · ");
}

function stateOf(hold: { state: string; reason: string | null }): string {
  return HOLD_STATES.has(hold.state) ? hold.state.toLowerCase() : (hold.reason ?? "");
}

/** Newest first. */
export function timeline(story: Story, saleId: number | null): Event[] {
  const events: Event[] = [];
  for (const press of story.presses ?? []) {
    const text = t("story.pressed", { outcome: t(`outcome.${press.outcome}` as Key) });
    const key = `press:${press.request_id}`;
    const at = { atMs: press.accepted_at_ms, saleId: saleId ?? 0 };
    events.push({ ...at, key, kind: "press", text, detail: press.request_id });
  }
  for (const hold of story.holds) {
    events.push({
      atMs: hold.created_at_ms,
      key: `hold:${hold.rid}`,
      kind: "hold",
      saleId: hold.sale_id,
      text: t(hold.promoted ? "story.promoted" : "story.won", {
        state: t(`hold.${stateOf(hold)}` as Key),
      }),
      detail: hold.rid,
    });
  }
  for (const payment of story.payments) {
    events.push({
      atMs: payment.changed_at_ms,
      key: `payment:${payment.rid}:${payment.attempt}`,
      kind: "payment",
      saleId: payment.sale_id,
      text: t("story.payment", {
        n: payment.attempt,
        state: t(`payment.${payment.state}` as Key),
      }),
      detail: payment.rid,
    });
  }
  for (const mail of story.mails) {
    events.push({
      atMs: mail.sent_at_ms ?? mail.created_at_ms,
      key: `mail:${mail.event}:${mail.rid}:${mail.created_at_ms}`,
      kind: "mail",
      saleId: mail.sale_id,
      text: t("story.mail", {
        event: t(`mail.${mail.event}` as Key),
        state: t(`mail_state.${mail.state}` as Key),
      }),
      detail: mail.reason ?? "",
    });
  }
  return events.sort((a, b) => b.atMs - a.atMs);
}
