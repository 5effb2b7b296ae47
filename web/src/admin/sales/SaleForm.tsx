// Creates and edits a draft; publishing is a step of its own, confirmed.
import { useState } from "preact/hooks";
import type { AdminSale, Product } from "../server";
import { t } from "../text";
import { Dialog } from "../ui/Dialog";
import { Overtaken } from "../ui/Overtaken";
import { Questions } from "./Questions";
import { SaleFields } from "./SaleFields";
import { useSaleForm } from "./useSaleForm";

interface Props {
  sale: AdminSale | null;
  products: Product[];
}

export function SaleForm({ sale, products }: Props) {
  const state = useSaleForm(sale);
  const { draft, errors, dirty, set, takeTheirs } = state;
  const [publishing, setPublishing] = useState(false);
  return (
    <form ref={state.form} class="panel form" onSubmit={state.submit} noValidate>
      <SaleFields draft={draft} set={set} errors={errors} products={products} own={state.own} />
      <Questions
        questions={draft.questions}
        onChange={(questions) => set({ questions })}
        wrong={(field) => errors[field]}
      />
      <div role="alert">
        {errors.form && <p class="note bad">{errors.form}</p>}
        {state.overtaken && sale && (
          <Overtaken
            words="overtaken.sale"
            onTheirs={() => takeTheirs(sale.id)}
            onMine={state.saveMine}
          />
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
          {state.told || (dirty ? t("unsaved.is") : "")}
        </span>
      </div>
      {publishing && (
        <Dialog
          title={t("sales.publish_title")}
          action={t("sales.publish")}
          onConfirm={state.publish}
          onClose={() => setPublishing(false)}
        >
          <p>{t("sales.publish_why")}</p>
        </Dialog>
      )}
      {state.question}
    </form>
  );
}
