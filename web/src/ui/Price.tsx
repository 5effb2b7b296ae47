// What a unit costs in the sale, beside what it costs otherwise.
import type { Sale } from "../api/types";
import { t } from "../i18n";
import { discount, money } from "../i18n/format";

export function Price({ sale }: { sale: Sale }) {
  const off = discount(sale.price, sale.product.list_price);
  return (
    <p class="price">
      <span class="visually-hidden">{t("sale.price")}</span>
      <strong>{money(sale.price)}</strong>
      {off > 0 && (
        <>
          <span class="visually-hidden">{t("sale.list-price")}</span>
          <s>{money(sale.product.list_price)}</s>
          <span class="tag tag-accent">{t("sale.off", { percent: off })}</span>
        </>
      )}
    </p>
  );
}
