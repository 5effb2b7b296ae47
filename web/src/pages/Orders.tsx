// A buyer's orders, newest first.
import { useEffect, useState } from "preact/hooks";
import { request } from "../api/client";
import { type Problem, problemOf } from "../api/problem";
import type { Order, OrderList, Sale } from "../api/types";
import { t } from "../i18n";
import { dayTime, money } from "../i18n/format";
import { user, userId } from "../session/session";
import { Icon } from "../ui/Icon";
import { Picture } from "../ui/Picture";
import { SignInFirst } from "../ui/SignInFirst";
import { Trouble } from "../ui/Trouble";
import { useLoad } from "../ui/useLoad";
import { useTitle } from "../ui/useTitle";

/** The sales, for the names and pictures of what was bought; an old one may be missing. */
export function useSales(): Map<number, Sale> {
  const sales = useLoad(() => request<{ items: Sale[] }>("GET", "/sales"), "");
  return new Map((sales.value?.items ?? []).map((sale) => [sale.id, sale]));
}

export function Orders() {
  useTitle(t("orders.title"));
  if (!user.value) return <SignInFirst title={t("orders.title")} />;
  return <List key={userId.value} />;
}

function List() {
  const sales = useSales();
  const [orders, setOrders] = useState<Order[] | null>(null);
  const [cursor, setCursor] = useState<string | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const more = async (from: string | null) => {
    try {
      const query = from ? `?cursor=${encodeURIComponent(from)}` : "";
      const page = await request<OrderList>("GET", `/orders${query}`);
      setOrders((old) => (from && old ? [...old, ...page.items] : page.items));
      setCursor(page.next_cursor);
      setProblem(null);
    } catch (error) {
      setProblem(problemOf(error));
    }
  };
  useEffect(() => void more(null), []);
  if (problem) return <Trouble problem={problem} again={() => void more(cursor)} />;
  if (orders?.length === 0) return <NoOrders />;
  return (
    <>
      <h1>{t("orders.title")}</h1>
      <ul class="orders" aria-busy={orders === null}>
        {orders?.map((order) => (
          <OrderRow key={order.id} order={order} sale={sales.get(order.sale_id)} />
        ))}
      </ul>
      {cursor && (
        <button type="button" class="button button-quiet" onClick={() => void more(cursor)}>
          {t("orders.more")}
        </button>
      )}
    </>
  );
}

function NoOrders() {
  return (
    <section class="empty">
      <span class="empty-sign">
        <Icon name="box" />
      </span>
      <h1>{t("orders.empty")}</h1>
      <p>{t("orders.empty.why")}</p>
      <a class="button" href="/">
        {t("menu.home")}
      </a>
    </section>
  );
}

function OrderRow({ order, sale }: { order: Order; sale: Sale | undefined }) {
  return (
    <li class="order-row">
      <Picture src={sale?.product.picture_url ?? ""} name="" />
      <div>
        <a class="card-link" href={`/orders/${order.id}`}>
          {sale?.product.name ?? t("order.title", { no: order.order_no })}
        </a>
        <p class="quiet small">
          {order.order_no} · {dayTime(order.created_at_ms)}
        </p>
      </div>
      <div class="order-row-end">
        <strong>{money(order)}</strong>
        <StateTag order={order} />
      </div>
    </li>
  );
}

export function StateTag({ order }: { order: Order }) {
  const refunded = order.state === "refunded";
  return (
    <span class={refunded ? "tag" : "tag tag-good"}>
      {t(refunded ? "order.refunded" : "order.paid")}
    </span>
  );
}
