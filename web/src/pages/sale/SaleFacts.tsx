// What is on sale, how many, and from when to when.
import type { Sale } from "../../api/types";
import { t } from "../../i18n";
import { dateTime, duration } from "../../i18n/format";
import { Icon } from "../../ui/Icon";

export function SaleFacts({ sale }: { sale: Sale }) {
  return (
    <section class="facts">
      <h2>{sale.product.name}</h2>
      <p>{sale.product.description}</p>
      <ul class="facts-list">
        <li>
          <Icon name="box" />
          {t("sale.units", { n: sale.stock })}
        </li>
        <li>
          <Icon name="clock" />
          {t("sale.opens", { time: dateTime(sale.opens_at_ms) })}
        </li>
        <li>
          <Icon name="card" />
          {t("steps.pay", { time: duration(sale.pay_within_s) })}
        </li>
      </ul>
    </section>
  );
}
