// All sales, drafts too.
import { number } from "../../i18n/format";
import { usePages } from "../../ui/usePages";
import { codedMoney, time, zone } from "../format";
import { type AdminSale, server } from "../server";
import { t } from "../text";
import { Empty } from "../ui/Note";
import { Pager } from "../ui/Pager";
import { PhaseBadge } from "../ui/PhaseBadge";
import { Table } from "../ui/Table";

export function Sales() {
  const pages = usePages(server.sales);
  return (
    <>
      <header class="head">
        <h1>{t("sales.title")}</h1>
        <a class="button primary" href="/admin/sales/new">
          {t("sales.new")}
        </a>
      </header>
      {!pages.fresh && pages.items.length === 0 && <Empty>{t("sales.none")}</Empty>}
      {pages.items.length > 0 && (
        <>
          <Table
            caption={t("sales.title")}
            head={[
              t("sales.sale"),
              t("sales.phase"),
              t("sales.opens"),
              t("sales.closes"),
              t("sales.stock"),
              t("sales.price"),
              t("sales.do"),
            ]}
            numeric={[4, 5]}
          >
            {pages.items.map((sale) => (
              <SaleRow key={sale.id} sale={sale} />
            ))}
          </Table>
          <p class="hint">{t("times_in", { zone: zone(Date.now()) })}</p>
        </>
      )}
      <Pager pages={pages} />
    </>
  );
}

function SaleRow({ sale: { id, phase, sale } }: { sale: AdminSale }) {
  return (
    <tr>
      <th scope="row">
        <a href={phase === "draft" ? `/admin/sales/${id}/edit` : `/admin/sales/${id}`}>
          {sale.title}
        </a>
        {sale.product.name !== sale.title && (
          <span class="quiet small block">{sale.product.name}</span>
        )}
      </th>
      <td>
        <PhaseBadge phase={phase} />
      </td>
      <td>{time(sale.opens_at_ms)}</td>
      <td>{time(sale.closes_at_ms)}</td>
      <td class="number">{number(sale.stock)}</td>
      <td class="number">{codedMoney(sale.price)}</td>
      <td class="links">
        <a href={`/admin/sales/${id}/edit`}>{t("sales.terms")}</a>
        {phase !== "draft" && <a href={`/admin/sales/${id}/report`}>{t("sales.report")}</a>}
      </td>
    </tr>
  );
}
