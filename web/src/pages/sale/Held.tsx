// A unit is held for this buyer: the deadline, and the way to pay.
import { t } from "../../i18n";
import { Checkout } from "./Checkout";
import { Deadline } from "./Deadline";
import { GiveUp } from "./GiveUp";
import type { PanelProps } from "./Panel";

export function Held({ visit, sale }: PanelProps) {
  const { payByMs, checkoutToken } = visit.buyer.purchase.value.place;
  const payable = checkoutToken !== null || visit.buyer.checkingOut.value;
  return (
    <>
      {payByMs !== null && <Deadline buyer={visit.buyer} payByMs={payByMs} />}
      <h2>{t("held.title")}</h2>
      <p>{t("held.text")}</p>
      {payable ? <Checkout buyer={visit.buyer} sale={sale} /> : <p class="quiet">{t("loading")}</p>}
      <GiveUp buyer={visit.buyer} what="hold" />
    </>
  );
}
