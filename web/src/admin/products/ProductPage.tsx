// One product: its terms, its picture, its end.
import { useState } from "preact/hooks";
import { problemOf } from "../../api/problem";
import { go } from "../../router";
import { useLoad } from "../../ui/useLoad";
import { amountText, minorUnits } from "../format";
import { type Product, server } from "../server";
import { t } from "../text";
import { Dialog } from "../ui/Dialog";
import { Labelled, TextField } from "../ui/Labelled";
import { MoneyField } from "../ui/MoneyField";
import { NotYet, problemText } from "../ui/Note";
import { Overtaken } from "../ui/Overtaken";
import { useDraft } from "../ui/useDraft";
import { ProductPicture } from "./ProductPicture";

export function ProductPage({ id }: { id: number | null }) {
  const { value, problem, again } = useLoad(
    () => (id === null ? Promise.resolve(null) : server.product(id)),
    id,
  );
  const [changed, setChanged] = useState<Product | null>(null);
  const [deleting, setDeleting] = useState(false);
  if (id === null) return <ProductForm product={null} onSaved={() => undefined} />;
  const product = changed ?? value;
  if (!product) return <NotYet problem={problem} onRetry={again} />;
  return (
    <>
      <div class="two">
        <ProductForm key={product.id} product={product} onSaved={setChanged} />
        <ProductPicture product={product} onChange={setChanged} />
      </div>
      <button type="button" class="button danger quietly" onClick={() => setDeleting(true)}>
        {t("products.delete")}
      </button>
      {deleting && (
        <Dialog
          title={t("products.delete_title", { name: product.name })}
          action={t("products.delete")}
          danger
          onConfirm={async () => {
            await server.deleteProduct(product.id);
            go("/admin/products");
          }}
          onClose={() => setDeleting(false)}
        >
          <p>{t("products.delete_why")}</p>
        </Dialog>
      )}
    </>
  );
}

function draftOf(product: Product | null) {
  return {
    name: product?.name ?? "",
    description: product?.description ?? "",
    amount: product ? amountText(product.list_price) : "",
    currency: product?.list_price.currency ?? "USD",
  };
}

interface FormProps {
  product: Product | null;
  onSaved: (product: Product) => void;
}

function ProductForm({ product, onSaved }: FormProps) {
  const drafting = useDraft(() => draftOf(product), product?.version ?? null);
  const { draft, dirty, errors, version, set, setErrors, setTold } = drafting;
  const keep = (now: Product) => {
    onSaved(now);
    drafting.replace(draftOf(now), now.version);
  };
  const save = async () => {
    const was = draftOf(product);
    const samePrice = was.amount === draft.amount && was.currency === draft.currency;
    const amount =
      product && samePrice ? product.list_price.amount : minorUnits(draft.amount, draft.currency);
    const found: Record<string, string> = {};
    if (!draft.name.trim()) found.name = t("wrong.empty");
    if (amount === null) found.list_price = t("wrong.amount");
    setErrors(found);
    if (amount === null || Object.keys(found).length) return;
    const list_price = { amount, currency: draft.currency };
    const body = { name: draft.name, description: draft.description, list_price };
    try {
      if (product) {
        keep(await server.updateProduct(product.id, { ...body, version: version.current }));
        setTold(t("saved"));
      } else {
        drafting.leave(`/admin/products/${(await server.createProduct(body)).id}`);
      }
    } catch (error) {
      const problem = problemOf(error);
      if (problem.field === "version") return drafting.setOvertaken(true);
      const field = problem.field?.split(".")[0] ?? "form";
      setErrors({
        [field in draft || field === "list_price" ? field : "form"]: problemText(problem),
      });
    }
  };
  const theirs = async (id: number) => keep(await server.product(id));
  const mine = async () => {
    version.current = null;
    await save();
  };
  const submit = (event: Event) => {
    event.preventDefault();
    void save();
  };
  return (
    <form class="panel form" onSubmit={submit} noValidate>
      <h1>{product ? product.name : t("products.new")}</h1>
      <TextField
        label={t("products.name")}
        value={draft.name}
        onValue={(name) => set({ name })}
        error={errors.name}
        maxLength={200}
        required
      />
      <Labelled label={t("products.description")} error={errors.description}>
        {(tie) => (
          <textarea
            {...tie}
            rows={6}
            maxLength={4000}
            value={draft.description}
            onInput={(event) => set({ description: event.currentTarget.value })}
          />
        )}
      </Labelled>
      <MoneyField
        label={t("products.list_price")}
        amount={draft.amount}
        currency={draft.currency}
        onAmount={(amount) => set({ amount })}
        onCurrency={(currency) => set({ currency })}
        error={errors.list_price}
      />
      <div role="alert">
        {errors.form && <p class="note bad">{errors.form}</p>}
        {drafting.overtaken && product && (
          <Overtaken words="overtaken.product" onTheirs={() => theirs(product.id)} onMine={mine} />
        )}
      </div>
      <div class="row">
        <button type="submit" class="button primary" disabled={Boolean(product) && !dirty}>
          {product ? t("save") : t("products.create")}
        </button>
        <span role="status" class="quiet small">
          {drafting.told}
        </span>
      </div>
      {!product && <p class="hint">{t("picture.afterwards")}</p>}
      {drafting.question}
    </form>
  );
}
