// Everybody's orders: searched, filtered, in pages, and as a file of the same filters.
import { useEffect, useState } from "preact/hooks";
import { query } from "../../api/query";
import { go, place } from "../../router";
import { offerFile } from "../../ui/offerFile";
import { useLoad } from "../../ui/useLoad";
import { usePages } from "../../ui/usePages";
import { codedMoney, fieldMs, time, zone } from "../format";
import { all, type FoundOrder, type OrderFilter, server } from "../server";
import { t } from "../text";
import { Dialog } from "../ui/Dialog";
import { type Option, SelectField, TextField } from "../ui/Labelled";
import { Empty } from "../ui/Note";
import { Pager } from "../ui/Pager";
import { Table } from "../ui/Table";

interface Typed {
  q: string;
  sale_id: string;
  state: string;
  from: string;
  until: string;
}

/** The filters are in the address, so that a link leads to the same list. */
function typedOf(text: string): Typed {
  const given = new URLSearchParams(text);
  const get = (name: string) => given.get(name) ?? "";
  const [q, sale_id, state] = [get("q"), get("sale_id"), get("state")];
  return { q, sale_id, state, from: get("from"), until: get("until") };
}

function filterOf({ from, until, ...rest }: Typed): OrderFilter {
  return { ...rest, from_ms: fieldMs(from), until_ms: fieldMs(until) };
}

export function OrderSearch() {
  const address = place.value.query;
  const [typed, setTyped] = useState(() => typedOf(address));
  useEffect(() => setTyped(typedOf(address)), [address]); // back, or the menu
  const pages = usePages((cursor) => server.orders(filterOf(typedOf(address)), cursor), address);
  const [delivering, setDelivering] = useState<FoundOrder | null>(null);
  const search = (event: Event) => {
    event.preventDefault();
    go(`/admin/orders${query({ ...typed })}`);
  };
  return (
    <>
      <header class="head">
        <h1>{t("orders.title")}</h1>
        <Export filter={filterOf(typedOf(address))} />
      </header>
      <form class="filters" onSubmit={search}>
        <Filters typed={typed} set={(part) => setTyped({ ...typed, ...part })} />
        <button type="submit" class="button primary">
          {t("search")}
        </button>
      </form>
      {!pages.fresh && pages.items.length === 0 && <Empty>{t("orders.none")}</Empty>}
      {pages.items.length > 0 && (
        <Table
          caption={t("orders.title")}
          head={[
            t("orders.number"),
            t("orders.buyer"),
            t("orders.sale"),
            t("orders.state"),
            t("orders.amount"),
            t("orders.time"),
            t("orders.delivery"),
          ]}
          numeric={[4]}
        >
          {pages.items.map((order) => (
            <FoundOrderRow key={order.id} order={order} onDelivery={() => setDelivering(order)} />
          ))}
        </Table>
      )}
      <Pager pages={pages} />
      {delivering && <DeliveryDialog order={delivering} onClose={() => setDelivering(null)} />}
    </>
  );
}

function FoundOrderRow({ order, onDelivery }: { order: FoundOrder; onDelivery: () => void }) {
  return (
    <tr>
      <th scope="row" class="code">
        {order.order_no}
      </th>
      <td>
        <a href={`/admin/people/${order.user_id}`}>{order.name}</a>
        <span class="quiet small block">{order.email}</span>
      </td>
      <td>{order.sale_title}</td>
      <td>
        <span class={`badge ${order.state === "paid" ? "good" : ""}`}>
          {t(order.state === "paid" ? "orders.paid" : "orders.refunded")}
        </span>
      </td>
      <td class="number">{codedMoney(order)}</td>
      <td>{time(order.created_at_ms)}</td>
      <td>
        <button
          type="button"
          class="link"
          aria-label={t("orders.delivery_of", { number: order.order_no })}
          onClick={onDelivery}
        >
          {t("show")}
        </button>
      </td>
    </tr>
  );
}

function Filters({ typed, set }: { typed: Typed; set: (part: Partial<Typed>) => void }) {
  const sales = useLoad(() => all(server.sales));
  const any: Option = ["", t("all")];
  return (
    <>
      <TextField
        label={t("orders.search")}
        type="search"
        value={typed.q}
        onValue={(q) => set({ q })}
        maxLength={200}
      />
      <SelectField
        label={t("orders.sale")}
        value={typed.sale_id}
        options={[any, ...(sales.value ?? []).map(({ id, sale }): Option => [`${id}`, sale.title])]}
        onValue={(sale_id) => set({ sale_id })}
      />
      <SelectField
        label={t("orders.state")}
        value={typed.state}
        options={[any, ["paid", t("orders.paid")], ["refunded", t("orders.refunded")]]}
        onValue={(state) => set({ state })}
      />
      <TextField
        label={t("orders.from")}
        type="datetime-local"
        value={typed.from}
        onValue={(from) => set({ from })}
        hint={zone(fieldMs(typed.from) ?? Date.now())}
      />
      <TextField
        label={t("orders.until")}
        type="datetime-local"
        value={typed.until}
        onValue={(until) => set({ until })}
      />
    </>
  );
}

const FILES = ["orders.xlsx", "orders.csv"] as const;

function Export({ filter }: { filter: OrderFilter }) {
  const [asking, setAsking] = useState(false);
  const [file, setFile] = useState<(typeof FILES)[number]>(FILES[0]);
  return (
    <>
      <button type="button" class="button" onClick={() => setAsking(true)}>
        {t("orders.export")}
      </button>
      {asking && (
        <Dialog
          title={t("orders.export_title")}
          action={t("orders.export_get")}
          onConfirm={async () => offerFile(file, await server.ordersFile(file, filter))}
          onClose={() => setAsking(false)}
        >
          <p>{t("orders.export_why")}</p>
          <SelectField
            label={t("orders.export_file")}
            hint={t(`${file}_hint`)}
            value={file}
            options={FILES.map((name) => [name, t(name)])}
            onValue={(name) => setFile(name as typeof file)}
          />
          <p class="quiet small">{t("lever.recorded")}</p>
        </Dialog>
      )}
    </>
  );
}

/** Personal data: shown on demand, and that it was looked at is in the trail. */
function DeliveryDialog({ order, onClose }: { order: FoundOrder; onClose: () => void }) {
  const [shown, setShown] = useState<string[] | null>(null);
  const load = async () => {
    if (shown) return true;
    const { name, phone, address } = await server.delivery(order.id);
    setShown([name, phone, address]);
    return false;
  };
  return (
    <Dialog
      title={t("orders.delivery_of", { number: order.order_no })}
      action={shown ? t("close") : t("show")}
      onConfirm={load}
      onClose={onClose}
    >
      {shown ? <p class="address">{shown.join("\n")}</p> : <p>{t("orders.delivery_why")}</p>}
    </Dialog>
  );
}
