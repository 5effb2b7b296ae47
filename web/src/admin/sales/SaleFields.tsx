// Sale fields: what is sold, when, and how many wait on standby.
import { zone } from "../format";
import type { AdminSale, Product } from "../server";
import { t } from "../text";
import { type Option, SelectField, TextField } from "../ui/Labelled";
import { MoneyField } from "../ui/MoneyField";
import { type Draft, instant } from "./form";

interface PartProps {
  draft: Draft;
  set: (part: Partial<Draft>) => void;
  errors: Record<string, string>;
}

interface Props extends PartProps {
  products: Product[];
  own: AdminSale | null;
}

export function SaleFields({ products, own, ...part }: Props) {
  return (
    <>
      <GoodsFields {...part} products={products} />
      <TimeFields {...part} own={own} />
      <StandbyFields {...part} />
    </>
  );
}

/** What a field of the draft shows and changes; `api` is its name there. */
function bound(
  { draft, set, errors }: PartProps,
  name: Exclude<keyof Draft, "questions">,
  api = name as string,
) {
  return {
    value: draft[name],
    onValue: (text: string) => set({ [name]: text }),
    error: errors[api],
  };
}

function GoodsFields({ products, ...part }: PartProps & { products: Product[] }) {
  const { draft, set, errors } = part;
  return (
    <>
      <SelectField
        label={t("sales.product")}
        hint={products.length ? undefined : <a href="/admin/products/new">{t("products.new")}</a>}
        options={[
          ["", t("sales.choose_product")],
          ...products.map(({ id, name }): Option => [`${id}`, name]),
        ]}
        {...bound(part, "product_id")}
      />
      <TextField label={t("sales.name")} maxLength={200} required {...bound(part, "title")} />
      <div class="side">
        <MoneyField
          label={t("sales.price")}
          amount={draft.amount}
          currency={draft.currency}
          onAmount={(amount) => set({ amount })}
          onCurrency={(currency) => set({ currency })}
          error={errors.price}
        />
        <TextField
          label={t("sales.stock")}
          inputMode="numeric"
          required
          {...bound(part, "stock")}
        />
      </div>
    </>
  );
}

/** The same instant as the world's clock has it. */
function utc(ms: number | null): string {
  return ms === null ? "" : `${new Date(ms).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

function TimeFields({ own, ...part }: PartProps & { own: AdminSale | null }) {
  const opens = instant(part.draft, own, "opens_at");
  const closes = instant(part.draft, own, "closes_at");
  return (
    <fieldset>
      <legend>{t("sales.times")}</legend>
      <p class="hint">{t("times_in", { zone: zone(opens ?? Date.now()) })}</p>
      <div class="side">
        <TextField
          label={t("sales.opens")}
          type="datetime-local"
          step={1}
          hint={utc(opens)}
          {...bound(part, "opens_at", "opens_at_ms")}
        />
        <TextField
          label={t("sales.closes")}
          type="datetime-local"
          step={1}
          hint={utc(closes)}
          {...bound(part, "closes_at", "closes_at_ms")}
        />
        <TextField
          label={t("sales.pay_within")}
          inputMode="numeric"
          {...bound(part, "pay_within", "pay_within_s")}
        />
      </div>
    </fieldset>
  );
}

function StandbyFields(part: PartProps) {
  return (
    <fieldset>
      <legend>{t("sales.standby")}</legend>
      <div class="side">
        <TextField
          label={t("sales.standby_pay_within")}
          hint={t("sales.same_if_empty")}
          inputMode="numeric"
          {...bound(part, "standby_pay_within", "standby_pay_within_s")}
        />
        <TextField
          label={t("sales.standby_limit")}
          hint={t("sales.ten_times_if_empty")}
          inputMode="numeric"
          {...bound(part, "standby_limit")}
        />
      </div>
    </fieldset>
  );
}
