// A buyer's orders, newest first.
import { request } from "../api/client";
import { query } from "../api/query";
import type { Order, Page, Sale } from "../api/types";
import { t } from "../i18n";
import { dayTime, money } from "../i18n/format";
import { user, userId } from "../session/session";
import { EmptyPage } from "../ui/EmptyPage";
import { Picture } from "../ui/Picture";
import { SignInFirst } from "../ui/SignInFirst";
import { Trouble } from "../ui/Trouble";
import { usePages } from "../ui/usePages";
import { useTitle } from "../ui/useTitle";
import { salesById, useSales } from "./useSales";

export function Orders() {
  useTitle(t("orders.title"));
  if (!user.value) return <SignInFirst title={t("orders.title")} />;
  return <MyOrders key={userId.value} />;
}

function MyOrders() {
  const sales = salesById(useSales().value);
  const orders = usePages((cursor) => request<Page<Order>>("GET", `/orders${query({ cursor })}`));
  if (orders.problem) return <Trouble problem={orders.problem} again={orders.next} />;
  if (!orders.fresh && orders.items.length === 0) return <NoOrders />;
  return (
    <>
      <h1>{t("orders.title")}</h1>
      <ul class="orders" aria-busy={orders.fresh}>
        {orders.items.map((order) => (
          <OrderRow key={order.id} order={order} sale={sales.get(order.sale_id)} />
        ))}
      </ul>
      {orders.cursor !== null && (
        <button type="button" class="button button-quiet" onClick={orders.next}>
          {t("orders.more")}
        </button>
      )}
    </>
  );
}

function NoOrders() {
  return (
    <EmptyPage icon="box" title={t("orders.empty")} text={t("orders.empty.why")}>
      <a class="button" href="/">
        {t("menu.home")}
      </a>
    </EmptyPage>
  );
}

function OrderRow({ order, sale }: { order: Order; sale: Sale | undefined }) {
  return (
    <li class="order-row">
      <Picture
        src={sale?.product.picture_url ?? ""}
        small={sale?.product.picture_small_url}
        name=""
      />
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
