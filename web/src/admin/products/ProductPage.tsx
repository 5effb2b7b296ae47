// One product: its form, its picture, its end.
import { useState } from "preact/hooks";
import { go } from "../../router";
import { useLoad } from "../../ui/useLoad";
import { type Product, server } from "../server";
import { t } from "../text";
import { Dialog } from "../ui/Dialog";
import { NotYet } from "../ui/Note";
import { ProductForm } from "./ProductForm";
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
