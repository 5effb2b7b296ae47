// What is on sale, how many, and from when to when.
import type { Sale } from "../../api/types";
import { useRemaining } from "../../clock/useRemaining";
import { t } from "../../i18n";
import { dateTime, duration } from "../../i18n/format";
import { Icon } from "../../ui/Icon";

export function SaleFacts({ sale }: { sale: Sale }) {
  const opened = useRemaining(sale.opens_at_ms).totalS === 0;
  return (
    <section class="facts">
      {sale.product.name !== sale.title && <h2>{sale.product.name}</h2>}
      <p>{sale.product.description}</p>
      <ul class="facts-list">
        <li>
          <Icon name="box" />
          {t("sale.units", { n: sale.stock })}
        </li>
        <li>
          <Icon name="clock" />
          {t(opened ? "sale.opened-at" : "sale.opens", { time: dateTime(sale.opens_at_ms) })}
        </li>
        <li>
          <Icon name="card" />
          {t("steps.pay", { time: duration(sale.pay_within_s) })}
        </li>
      </ul>
    </section>
  );
}
