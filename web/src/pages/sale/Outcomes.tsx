// Waiting for the verdict, paying, paid, and nothing left.
import { useEffect } from "preact/hooks";
import { t } from "../../i18n";
import { go } from "../../router";
import { Icon } from "../../ui/Icon";
import { Ended } from "./Ended";
import type { PanelProps } from "./Panel";
import { returned } from "./returned";

export function Queued() {
  return (
    <div class="outcome">
      <span class="pulse" aria-hidden="true">
        <Icon name="bolt" />
      </span>
      <h2>{t("queued.title")}</h2>
      <p>{t("queued.text")}</p>
      <p class="quiet small">{t("queued.leave")}</p>
    </div>
  );
}

export function Paying(_: PanelProps) {
  return (
    <div class="outcome">
      <span class="pulse" aria-hidden="true">
        <Icon name="card" />
      </span>
      <h2>{t("paying.title")}</h2>
      <p>{t("paying.text")}</p>
    </div>
  );
}

export function Paid({ visit }: PanelProps) {
  const { orderId } = visit.buyer.purchase.value.place;
  useEffect(() => {
    if (orderId && returned()) go(`/orders/${orderId}?won`, { replace: true });
  }, [orderId]);
  return (
    <div class="outcome outcome-good">
      <span class="outcome-sign" aria-hidden="true">
        <Icon name="check" />
      </span>
      <h2>{t("paid.title")}</h2>
      <p>{t("paid.text")}</p>
      <a class="button button-wide" href={orderId ? `/orders/${orderId}` : "/orders"}>
        {t("paid.order")}
      </a>
    </div>
  );
}

export function Gone(props: PanelProps) {
  const known = props.visit.buyer.purchase.value.place.state !== "none";
  return (
    <div class="outcome">
      <span class="outcome-sign" aria-hidden="true">
        <Icon name="box" />
      </span>
      {known ? (
        <Ended {...props} />
      ) : (
        <h2>{t(`sale.state.${props.stage}` as "sale.state.gone")}</h2>
      )}
      {!known && <p>{t(props.stage === "gone" ? "buy.gone" : "buy.over")}</p>}
      <a class="button button-quiet" href="/">
        {t("menu.home")}
      </a>
    </div>
  );
}
