// All products.
import { usePages } from "../../ui/usePages";
import { codedMoney } from "../format";
import { server } from "../server";
import { t } from "../text";
import { Empty } from "../ui/Note";
import { Pager } from "../ui/Pager";

export function Products() {
  const pages = usePages(server.products);
  return (
    <>
      <header class="head">
        <h1>{t("products.title")}</h1>
        <a class="button primary" href="/admin/products/new">
          {t("products.new")}
        </a>
      </header>
      {!pages.fresh && pages.items.length === 0 && <Empty>{t("products.none")}</Empty>}
      <ul class="cards">
        {pages.items.map((product) => (
          <li key={product.id}>
            <a class="card product" href={`/admin/products/${product.id}`}>
              {product.picture_url ? (
                <img src={product.picture_url} alt="" loading="lazy" width="320" height="240" />
              ) : (
                <span class="no-picture">{t("products.no_picture")}</span>
              )}
              <strong>{product.name}</strong>
              <span class="quiet small">{codedMoney(product.list_price)}</span>
            </a>
          </li>
        ))}
      </ul>
      <Pager pages={pages} />
    </>
  );
}
