// The terms of a published sale: fixed, but for stock and phase (which the control room moves).
import { number } from "../../i18n/format";
import { codedMoney, time, zone } from "../format";
import type { AdminSale } from "../server";
import { t } from "../text";
import { type Fact, Facts } from "../ui/Facts";

export function Terms({ sale: { sale } }: { sale: AdminSale }) {
  const rows: Fact[] = [
    [t("sales.product"), sale.product.name],
    [t("sales.price"), codedMoney(sale.price)],
    [t("sales.stock"), number(sale.stock)],
    [t("sales.opens"), time(sale.opens_at_ms)],
    [t("sales.closes"), time(sale.closes_at_ms)],
    [t("sales.pay_within"), number(sale.pay_within_s)],
    [t("sales.standby_pay_within"), number(sale.standby_pay_within_s)],
    [t("sales.standby_limit"), number(sale.standby_limit)],
  ];
  return (
    <section class="panel">
      <p class="note">{t("sales.fixed")}</p>
      <Facts rows={rows} />
      <p class="hint">{t("times_in", { zone: zone(sale.opens_at_ms) })}</p>
      <h2>{t("questions.title")}</h2>
      <ol class="asked">
        {sale.questions.map((question) => (
          <li key={question.id}>
            {question.text}
            <ul>
              {question.choices.map((choice) => (
                <li key={choice.key} class={choice.key === question.answer ? "right" : ""}>
                  {choice.text}
                  {choice.key === question.answer && ` ✓ ${t("questions.right")}`}
                </li>
              ))}
            </ul>
          </li>
        ))}
      </ol>
    </section>
  );
}
