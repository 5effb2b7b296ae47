// What will happen, and when: no surprises in the minute that counts.
import type { Sale } from "../../api/types";
import { t } from "../../i18n";
import { dateTime, duration } from "../../i18n/format";

export function Steps({ sale }: { sale: Sale }) {
  return (
    <section class="steps">
      <h2>{t("steps.title")}</h2>
      <ol>
        <li>{t("steps.open", { time: dateTime(sale.opens_at_ms) })}</li>
        <li>{t("steps.press")}</li>
        <li>{t("steps.pay", { time: duration(sale.pay_within_s) })}</li>
        <li>{t("steps.standby")}</li>
      </ol>
    </section>
  );
}
