// One buyer's whole story, for support. That it was looked at is in the trail.
import { useState } from "preact/hooks";
import { useLoad } from "../../ui/useLoad";
import { codedMoney, preciseTime, time, zone } from "../format";
import { type Story, server } from "../server";
import { type Key, t } from "../text";
import { type Option, SelectField } from "../ui/Labelled";
import { Empty, Loading, ProblemNote } from "../ui/Note";
import { Table } from "../ui/Table";
import { standing, timeline } from "./timeline";

export function StoryPage({ id }: { id: number }) {
  const [saleId, setSaleId] = useState<number | null>(null);
  const story = useLoad(() => server.story(id, saleId), `${id}:${saleId}`);
  const whole = useLoad(() => server.story(id, null), id);
  const person = story.value ?? whole.value;
  return (
    <>
      <header class="head">
        <div>
          <h1>{person?.name ?? t("people.one")}</h1>
          {person && (
            <p class="quiet">
              {person.email} · {t("people.id", { id: String(person.user_id) })}
            </p>
          )}
        </div>
        <SaleChoice story={whole.value} saleId={saleId} onChoose={setSaleId} />
      </header>
      <ProblemNote problem={story.problem} onRetry={story.again} />
      {!story.value && !story.problem && <Loading />}
      {story.value && <Places story={story.value} />}
      {story.value && story.value.orders.length > 0 && <OrdersOf story={story.value} />}
      {story.value && <Timeline story={story.value} saleId={saleId} />}
    </>
  );
}

interface ChoiceProps {
  story: Story | null;
  saleId: number | null;
  onChoose: (id: number | null) => void;
}

function SaleChoice({ story, saleId, onChoose }: ChoiceProps) {
  const sales = story?.sales ?? [];
  return (
    <SelectField
      label={t("story.in_sale")}
      value={saleId === null ? "" : String(saleId)}
      options={[
        ["", t("all")],
        ...sales.map(({ sale_id, title }): Option => [`${sale_id}`, title]),
      ]}
      onValue={(value) => onChoose(Number(value) || null)}
    />
  );
}

function Places({ story }: { story: Story }) {
  if (story.sales.length === 0) return <Empty>{t("story.nothing")}</Empty>;
  return (
    <ul class="cards wide">
      {story.sales.map((sale) => (
        <li key={sale.sale_id} class="card">
          <strong>{sale.title}</strong>
          <span>{standing(sale)}</span>
          {sale.place?.position && (
            <span class="quiet small">{t("story.position", { n: sale.place.position })}</span>
          )}
          {sale.hold?.state === "HELD" && (
            <span class="quiet small">
              {t("story.pay_by", { time: time(sale.hold.pay_by_ms) })}
            </span>
          )}
          <a class="small" href={`/admin/sales/${sale.sale_id}`}>
            {t("sales.room")}
          </a>
        </li>
      ))}
    </ul>
  );
}

function OrdersOf({ story }: { story: Story }) {
  return (
    <section class="panel">
      <h2>{t("orders.title")}</h2>
      <Table
        caption={t("orders.title")}
        head={[t("orders.number"), t("orders.state"), t("orders.amount"), t("orders.time")]}
        numeric={[2]}
      >
        {story.orders.map((order) => (
          <tr key={order.id}>
            <th scope="row" class="code">
              {order.order_no}
            </th>
            <td>{t(order.state === "paid" ? "orders.paid" : "orders.refunded")}</td>
            <td class="number">{codedMoney(order)}</td>
            <td>{time(order.created_at_ms)}</td>
          </tr>
        ))}
      </Table>
    </section>
  );
}

function Timeline({ story, saleId }: { story: Story; saleId: number | null }) {
  const events = timeline(story, saleId);
  const titles = new Map(story.sales.map((sale) => [sale.sale_id, sale.title]));
  return (
    <section class="panel">
      <h2>{t("story.timeline")}</h2>
      {saleId === null && <p class="hint">{t("story.choose_for_presses")}</p>}
      {saleId !== null && !story.presses && <p class="hint">{t("story.no_presses")}</p>}
      {events.length === 0 && <Empty>{t("story.nothing")}</Empty>}
      <ol class="timeline">
        {events.map((event) => (
          <li key={event.key} class={event.kind}>
            <time dateTime={new Date(event.atMs).toISOString()}>{preciseTime(event.atMs)}</time>
            <span class="kind">{t(`kind.${event.kind}` as Key)}</span>
            <span>
              {event.text}
              <span class="quiet small block">
                {titles.get(event.saleId) ?? t("story.sale", { id: String(event.saleId) })}
                {event.detail && ` · ${event.detail}`}
              </span>
            </span>
          </li>
        ))}
      </ol>
      <p class="hint">{t("times_in", { zone: zone(Date.now()) })}</p>
    </section>
  );
}
