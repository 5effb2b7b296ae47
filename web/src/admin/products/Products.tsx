// All products.
import { money } from "../format";
import { useLoaded } from "../hooks";
import { server } from "../server";
import { t } from "../text";
import { Empty, Loading, ProblemNote } from "../ui/Note";

export function Products() {
  const { data, problem, reload } = useLoaded(server.products);
  return (
    <>
      <header class="head">
        <h1>{t("products.title")}</h1>
        <a class="button primary" href="/admin/products/new">
          {t("products.new")}
        </a>
      </header>
      <ProblemNote problem={problem} onRetry={reload} />
      {!data && !problem && <Loading />}
      {data?.items.length === 0 && <Empty>{t("products.none")}</Empty>}
      <ul class="cards">
        {data?.items.map((product) => (
          <li key={product.id}>
            <a class="card product" href={`/admin/products/${product.id}`}>
              {product.picture_url ? (
                <img src={product.picture_url} alt="" loading="lazy" width="320" height="240" />
              ) : (
                <span class="no-picture">{t("products.no_picture")}</span>
              )}
              <strong>{product.name}</strong>
              <span class="quiet small">{money(product.list_price)}</span>
            </a>
          </li>
        ))}
      </ul>
    </>
  );
}
