// One order: the prize.
import { request } from "../api/client";
import type { Order, Sale } from "../api/types";
import { t } from "../i18n";
import { dateTime, money } from "../i18n/format";
import { place } from "../router";
import { user } from "../session/session";
import { Confetti } from "../ui/Confetti";
import { Icon } from "../ui/Icon";
import { Picture } from "../ui/Picture";
import { SignInFirst } from "../ui/SignInFirst";
import { Trouble } from "../ui/Trouble";
import { useLoad } from "../ui/useLoad";
import { useTitle } from "../ui/useTitle";
import { NotFound } from "./NotFound";
import { StateTag } from "./Orders";
import { salesById, useSales } from "./useSales";

export function OrderPage({ orderId }: { orderId: string }) {
  useTitle(t("orders.title"));
  if (!user.value) return <SignInFirst title={t("orders.title")} />;
  return <LoadedOrder orderId={orderId} />;
}

function LoadedOrder({ orderId }: { orderId: string }) {
  const path = `/orders/${encodeURIComponent(orderId)}`;
  const order = useLoad(() => request<Order>("GET", path), orderId);
  const sales = salesById(useSales().value);
  if (order.problem?.status === 404) return <NotFound />;
  if (order.problem && !order.value) return <Trouble problem={order.problem} again={order.again} />;
  if (!order.value) return <p class="quiet">{t("loading")}</p>;
  return <Prize order={order.value} sale={sales.get(order.value.sale_id)} />;
}

function Prize({ order, sale }: { order: Order; sale: Sale | undefined }) {
  const won = new URLSearchParams(place.value.query).has("won") && order.state === "paid";
  return (
    <article class="prize">
      {won && <Confetti />}
      <div class="prize-picture">
        <Picture
          src={sale?.product.picture_url ?? ""}
          small={sale?.product.picture_small_url}
          name={sale?.product.name ?? ""}
          eager
        />
        <span class="prize-stamp" aria-hidden="true">
          <Icon name="check" />
        </span>
      </div>
      <div class="prize-text">
        <h1>{order.state === "paid" ? t("order.prize") : t("order.refunded")}</h1>
        {sale && <p class="prize-name">{sale.product.name}</p>}
        {sale && order.state === "paid" && (
          <p class="quiet">{t("order.prize.text", { n: sale.stock })}</p>
        )}
        <Receipt order={order} />
        {won && user.value && (
          <p class="quiet small">{t("order.mail", { email: user.value.email })}</p>
        )}
        <p class="prize-links">
          <a class="button button-quiet" href="/orders">
            {t("menu.orders")}
          </a>
          <a class="button button-quiet" href="/">
            {t("menu.home")}
          </a>
        </p>
      </div>
    </article>
  );
}

function Receipt({ order }: { order: Order }) {
  return (
    <dl class="receipt">
      <div>
        <dt>{t("order.number")}</dt>
        <dd class="digits">{order.order_no}</dd>
      </div>
      <div>
        <dt>{t("order.when")}</dt>
        <dd>{dateTime(order.created_at_ms)}</dd>
      </div>
      <div>
        <dt>{t("order.state")}</dt>
        <dd>
          <StateTag order={order} />
        </dd>
      </div>
      <div class="receipt-total">
        <dt>{t("order.amount")}</dt>
        <dd>{money(order)}</dd>
      </div>
    </dl>
  );
}
