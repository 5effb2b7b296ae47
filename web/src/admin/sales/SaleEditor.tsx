// The terms of one sale: a form while they may change, read-only afterwards.
import { useState } from "preact/hooks";
import { go } from "../../router";
import { useLoad } from "../../ui/useLoad";
import { type AdminSale, all, server } from "../server";
import { t } from "../text";
import { Dialog } from "../ui/Dialog";
import { NotYet } from "../ui/Note";
import { PhaseBadge } from "../ui/PhaseBadge";
import { SaleForm } from "./SaleForm";
import { Terms } from "./Terms";

async function ask(id: number | null) {
  const [sale, products] = await Promise.all([id ? server.sale(id) : null, all(server.products)]);
  return { sale, products };
}

export function SaleEditor({ id }: { id: number | null }) {
  const { value: known, problem, again } = useLoad(() => ask(id), id);
  if (!known) return <NotYet problem={problem} onRetry={again} />;
  const { sale, products } = known;
  const fixed = sale !== null && sale.stored_phase !== "draft";
  return (
    <>
      <header class="head">
        <div>
          <h1>{sale ? sale.sale.title : t("sales.new")}</h1>
          {sale && <PhaseBadge phase={sale.phase} />}
        </div>
        {fixed && (
          <a class="button" href={`/admin/sales/${sale.id}`}>
            {t("sales.room")}
          </a>
        )}
      </header>
      {fixed ? <Terms sale={sale} /> : <SaleForm sale={sale} products={products} />}
      {sale && !fixed && <DeleteDraft sale={sale} />}
    </>
  );
}

function DeleteDraft({ sale }: { sale: AdminSale }) {
  const [asking, setAsking] = useState(false);
  return (
    <>
      <button type="button" class="button danger quietly" onClick={() => setAsking(true)}>
        {t("sales.delete")}
      </button>
      {asking && (
        <Dialog
          title={t("sales.delete_title", { title: sale.sale.title })}
          action={t("sales.delete")}
          danger
          onConfirm={async () => {
            await server.deleteSale(sale.id);
            go("/admin/sales");
          }}
          onClose={() => setAsking(false)}
        />
      )}
    </>
  );
}
