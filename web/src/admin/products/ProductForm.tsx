// Product form: creates and edits a product.
import { problemOf } from "../../api/problem";
import { go } from "../../router";
import { type Product, server } from "../server";
import { inWords, t } from "../text";
import { Labelled, TextField } from "../ui/Labelled";
import { MoneyField } from "../ui/MoneyField";
import { problemText } from "../ui/Note";
import { Overtaken } from "../ui/Overtaken";
import { useDraft } from "../ui/useDraft";
import { type ProductDraft, productDraft, productField, readProduct } from "./form";

interface Props {
  product: Product | null;
  onSaved: (product: Product) => void;
}

export function ProductForm({ product, onSaved }: Props) {
  const state = useProductForm(product, onSaved);
  return (
    <form class="panel form" onSubmit={state.submit} noValidate>
      <h1>{product ? product.name : t("products.new")}</h1>
      <ProductFields draft={state.draft} set={state.set} errors={state.errors} />
      <div role="alert">
        {state.errors.form && <p class="note bad">{state.errors.form}</p>}
        {state.overtaken && product && (
          <Overtaken
            words="overtaken.product"
            onTheirs={() => state.takeTheirs(product.id)}
            onMine={state.saveMine}
          />
        )}
      </div>
      <div class="row">
        <button type="submit" class="button primary" disabled={product !== null && !state.dirty}>
          {product ? t("save") : t("products.create")}
        </button>
        <span role="status" class="quiet small">
          {state.told}
        </span>
      </div>
      {!product && <p class="hint">{t("picture.afterwards")}</p>}
      {state.question}
    </form>
  );
}

function useProductForm(product: Product | null, onSaved: (product: Product) => void) {
  const drafting = useDraft(() => productDraft(product), product?.version ?? null);
  const { draft, version, setErrors } = drafting;
  const keep = (now: Product) => {
    onSaved(now);
    drafting.replace(productDraft(now), now.version);
  };
  const save = async () => {
    const result = readProduct(draft, product);
    setErrors("errors" in result ? inWords(result.errors) : {});
    if ("errors" in result) return;
    try {
      if (product) {
        const body = { ...result.body, version: version.current };
        keep(await server.updateProduct(product.id, body));
        drafting.setTold(t("saved"));
      } else {
        const made = await server.createProduct(result.body);
        go(`/admin/products/${made.id}`);
      }
    } catch (error) {
      const problem = problemOf(error);
      if (problem.field === "version") drafting.setOvertaken(true);
      else setErrors({ [productField(problem.field)]: problemText(problem) });
    }
  };
  const submit = (event: Event) => {
    event.preventDefault();
    void save();
  };
  const takeTheirs = async (id: number) => keep(await server.product(id));
  const saveMine = async () => {
    version.current = null;
    await save();
  };
  return { ...drafting, submit, takeTheirs, saveMine };
}

interface FieldsProps {
  draft: ProductDraft;
  set: (part: Partial<ProductDraft>) => void;
  errors: Record<string, string>;
}

function ProductFields({ draft, set, errors }: FieldsProps) {
  return (
    <>
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
    </>
  );
}
