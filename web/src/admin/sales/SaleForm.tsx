// Creates and edits a draft; publishing is a step of its own, confirmed.
import { useRef, useState } from "preact/hooks";
import { problemOf } from "../../api/problem";
import { zone } from "../format";
import { type AdminSale, type Product, server } from "../server";
import { type Key, t } from "../text";
import { Dialog } from "../ui/Dialog";
import { Labelled, TextField } from "../ui/Labelled";
import { MoneyField } from "../ui/MoneyField";
import { problemText } from "../ui/Note";
import { Overtaken } from "../ui/Overtaken";
import { useDraft } from "../ui/useDraft";
import { type Draft, draftOf, fieldOf, instant, read } from "./form";
import { Questions } from "./Questions";

interface Props {
  sale: AdminSale | null;
  products: Product[];
}

export function SaleForm({ sale, products }: Props) {
  /** The sale as it was last read or saved: whose fields nobody has touched. */
  const [own, setOwn] = useState(sale);
  const drafting = useDraft(() => draftOf(sale, Date.now()), sale?.version ?? null);
  const { draft, dirty, errors, version, set, leave, setTold, setOvertaken } = drafting;
  const [publishing, setPublishing] = useState(false);
  const form = useRef<HTMLFormElement>(null);
  const show = (found: Record<string, string>) => {
    drafting.setErrors(found);
    requestAnimationFrame(() => {
      const first = form.current?.querySelector("[aria-invalid=true]");
      if (first instanceof HTMLElement) first.focus();
    });
  };
  /** The sale once saved, or null if something is wrong. */
  const save = async (): Promise<AdminSale | null> => {
    const result = read(draft, own);
    if ("errors" in result) {
      const entries = Object.entries(result.errors) as [string, Key][];
      show(Object.fromEntries(entries.map(([field, key]) => [field, t(key)])));
      return null;
    }
    try {
      const made = sale
        ? await server.updateSale(sale.id, { ...result.body, version: version.current })
        : await server.createSale({ ...result.body, publish: false });
      setOwn(made);
      drafting.saved(draft, made.version);
      return made;
    } catch (error) {
      const problem = problemOf(error);
      if (problem.field === "version") setOvertaken(true);
      else show({ [fieldOf(problem.field)]: problemText(problem) });
      return null;
    }
  };
  const theirs = async (id: number) => {
    const now = await server.sale(id);
    if (now.stored_phase !== "draft") return leave(`/admin/sales/${id}`);
    setOwn(now);
    drafting.replace(draftOf(now, Date.now()), now.version);
  };
  const mine = async () => {
    version.current = null;
    if (await save()) setTold(t("saved"));
  };
  /** The draft, if nobody has changed it since this form began. */
  const untouched = async (id: number): Promise<AdminSale | null> => {
    const now = await server.sale(id);
    setOvertaken(now.version !== version.current);
    return now.version === version.current ? now : null;
  };
  const submit = async (event: Event) => {
    event.preventDefault();
    const made = await save();
    if (made && !sale) leave(`/admin/sales/${made.id}/edit`);
    else if (made) setTold(t("saved"));
  };
  const publish = async () => {
    const made = dirty || !sale ? await save() : await untouched(sale.id);
    if (!made) return; // the dialog closes on what is wrong in the form
    await server.steer(made.id, "publish");
    leave(`/admin/sales/${made.id}`);
  };
  return (
    <form ref={form} class="panel form" onSubmit={submit} noValidate>
      <About draft={draft} set={set} errors={errors} products={products} />
      <Times draft={draft} set={set} errors={errors} own={own} />
      <Standby draft={draft} set={set} errors={errors} />
      <Questions
        questions={draft.questions}
        onChange={(questions) => set({ questions })}
        wrong={(field) => errors[field]}
      />
      <div role="alert">
        {errors.form && <p class="note bad">{errors.form}</p>}
        {drafting.overtaken && sale && (
          <Overtaken words="overtaken.sale" onTheirs={() => theirs(sale.id)} onMine={mine} />
        )}
      </div>
      <div class="row sticky">
        <button type="submit" class="button" disabled={sale !== null && !dirty}>
          {sale ? t("save") : t("sales.create")}
        </button>
        <button type="button" class="button primary" onClick={() => setPublishing(true)}>
          {t("sales.publish")}
        </button>
        <span role="status" class="quiet small">
          {drafting.told || (dirty ? t("unsaved.is") : "")}
        </span>
      </div>
      {publishing && (
        <Dialog
          title={t("sales.publish_title")}
          action={t("sales.publish")}
          onConfirm={publish}
          onClose={() => setPublishing(false)}
        >
          <p>{t("sales.publish_why")}</p>
        </Dialog>
      )}
      {drafting.question}
    </form>
  );
}

interface PartProps {
  draft: Draft;
  set: (part: Partial<Draft>) => void;
  errors: Record<string, string>;
}

function About({ draft, set, errors, products }: PartProps & { products: Product[] }) {
  return (
    <>
      <Labelled
        label={t("sales.product")}
        error={errors.product_id}
        hint={products.length ? undefined : <a href="/admin/products/new">{t("products.new")}</a>}
      >
        {(tie) => (
          <select
            {...tie}
            value={draft.product_id}
            onChange={(event) => set({ product_id: event.currentTarget.value })}
          >
            <option value="">{t("sales.choose_product")}</option>
            {products.map((product) => (
              <option key={product.id} value={String(product.id)}>
                {product.name}
              </option>
            ))}
          </select>
        )}
      </Labelled>
      <TextField
        label={t("sales.name")}
        value={draft.title}
        onValue={(title) => set({ title })}
        error={errors.title}
        maxLength={200}
        required
      />
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
          value={draft.stock}
          onValue={(stock) => set({ stock })}
          error={errors.stock}
          inputMode="numeric"
          required
        />
      </div>
    </>
  );
}

/** The same instant as the world's clock has it. */
function utc(ms: number | null): string {
  return ms === null ? "" : `${new Date(ms).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

function Times({ draft, set, errors, own }: PartProps & { own: AdminSale | null }) {
  const opens = instant(draft, own, "opens_at");
  const where = zone(opens ?? Date.now());
  return (
    <fieldset>
      <legend>{t("sales.times")}</legend>
      <p class="hint">{t("times_in", { zone: where })}</p>
      <div class="side">
        <TextField
          label={t("sales.opens")}
          type="datetime-local"
          step={1}
          value={draft.opens_at}
          onValue={(opens_at) => set({ opens_at })}
          error={errors.opens_at_ms}
          hint={utc(opens)}
        />
        <TextField
          label={t("sales.closes")}
          type="datetime-local"
          step={1}
          value={draft.closes_at}
          onValue={(closes_at) => set({ closes_at })}
          error={errors.closes_at_ms}
          hint={utc(instant(draft, own, "closes_at"))}
        />
        <TextField
          label={t("sales.pay_within")}
          value={draft.pay_within}
          onValue={(pay_within) => set({ pay_within })}
          error={errors.pay_within_s}
          inputMode="numeric"
        />
      </div>
    </fieldset>
  );
}

function Standby({ draft, set, errors }: PartProps) {
  return (
    <fieldset>
      <legend>{t("sales.standby")}</legend>
      <div class="side">
        <TextField
          label={t("sales.standby_pay_within")}
          value={draft.standby_pay_within}
          onValue={(standby_pay_within) => set({ standby_pay_within })}
          error={errors.standby_pay_within_s}
          hint={t("sales.same_if_empty")}
          inputMode="numeric"
        />
        <TextField
          label={t("sales.standby_limit")}
          value={draft.standby_limit}
          onValue={(standby_limit) => set({ standby_limit })}
          error={errors.standby_limit}
          hint={t("sales.ten_times_if_empty")}
          inputMode="numeric"
        />
      </div>
    </fieldset>
  );
}
