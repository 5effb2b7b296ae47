// Every call the console makes, with the types of the API's own document.
import { request } from "../api/client";
import { query } from "../api/query";
import type { Page, Schemas } from "../api/types";

export type AdminSale = Schemas["AdminSale"];
export type Product = Schemas["AdminProduct"];
export type ProductBody = Schemas["ProductBody"];
export type ProductUpdateBody = Schemas["ProductUpdateBody"];
export type SaleUpdateBody = Schemas["SaleUpdateBody"];
export type SaleBody = Omit<SaleUpdateBody, "version">;
export type NewSaleBody = Schemas["NewSaleBody"];
export type Stats = Schemas["Stats"];
export type Report = Schemas["Report"];
export type Verdict = Schemas["Verdict"];
export type Reading = Schemas["Reading"];
export type Heartbeat = Schemas["Heartbeat"];
export type FoundOrder = Schemas["FoundOrder"];
export type Delivery = Schemas["DeliveryView"];
export type Person = Schemas["FoundPerson"];
export type Story = Schemas["Story"];
export type ParkedItem = Schemas["ParkedView"];
export type TrailEntry = Schemas["TrailView"];
export type Phase = Schemas["Phase"];

const PAGES_MAX = 20;

/** Everything of a list, page by page: for a choice, which must not lack what is wanted. */
export async function all<T>(ask: (cursor: string | null) => Promise<Page<T>>): Promise<T[]> {
  const items: T[] = [];
  let cursor: string | null = null;
  for (let pages = 0; pages < PAGES_MAX; pages++) {
    const page: Page<T> = await ask(cursor);
    items.push(...page.items);
    cursor = page.next_cursor;
    if (cursor === null) break;
  }
  return items;
}

export type OrderFilter = {
  q?: string;
  sale_id?: number | string | null;
  user_id?: number | string | null;
  state?: string;
  from_ms?: number | null;
  until_ms?: number | null;
};

/** For what the server waits ten seconds for, and then lets go on by itself. */
const LONG = { timeoutMs: 30_000 };

const sale = (id: number, rest = "") => `/admin/sales/${id}${rest}`;
const product = (id: number, rest = "") => `/admin/products/${id}${rest}`;

export const server = {
  products: (cursor: string | null) =>
    request<Page<Product>>("GET", `/admin/products${query({ cursor })}`),
  product: (id: number) => request<Product>("GET", product(id)),
  createProduct: (body: ProductBody) => request<Product>("POST", "/admin/products", { body }),
  updateProduct: (id: number, body: ProductUpdateBody) =>
    request<Product>("PUT", product(id), { body }),
  deleteProduct: (id: number) => request<void>("DELETE", product(id)),
  putPicture: (id: number, raw: Blob) =>
    request<Product>("PUT", product(id, "/picture"), { raw, timeoutMs: 60_000 }),
  deletePicture: (id: number) => request<void>("DELETE", product(id, "/picture")),

  sales: (cursor: string | null) =>
    request<Page<AdminSale>>("GET", `/admin/sales${query({ cursor })}`),
  sale: (id: number) => request<AdminSale>("GET", sale(id)),
  createSale: (body: NewSaleBody) => request<AdminSale>("POST", "/admin/sales", { body }),
  updateSale: (id: number, body: SaleUpdateBody) => request<AdminSale>("PUT", sale(id), { body }),
  deleteSale: (id: number) => request<void>("DELETE", sale(id)),
  /** publish, pause, resume, close or rebuild. */
  steer: (id: number, action: string) => request<AdminSale>("POST", sale(id, `/${action}`), LONG),
  setStock: (id: number, stock: number) =>
    request<AdminSale>("POST", sale(id, "/stock"), { body: { stock }, ...LONG }),
  stats: (id: number, signal: AbortSignal) =>
    request<Stats>("GET", sale(id, "/stats"), { signal, timeoutMs: 5_000 }),
  /** An audit of everything; of a large sale it goes on after the answer, as `run` says. */
  check: (id: number) => request<Schemas["AuditView"]>("POST", sale(id, "/audit"), LONG),
  report: (id: number) => request<Report>("GET", sale(id, "/report")),

  orders: (filter: OrderFilter, cursor: string | null) =>
    request<Page<FoundOrder>>("GET", `/admin/orders${query({ ...filter, cursor })}`),
  delivery: (id: string) => request<Delivery>("GET", `/admin/orders/${id}/delivery`),
  ordersFile: (name: string, filter: OrderFilter) =>
    request<Blob>("GET", `/admin/${name}${query(filter)}`, { timeoutMs: 600_000 }),
  people: (q: string, cursor: string | null) =>
    request<Page<Person>>("GET", `/admin/users${query({ q, cursor })}`),
  story: (id: number, saleId: number | null) =>
    request<Story>("GET", `/admin/users/${id}/story${query({ sale_id: saleId })}`),
  parked: () => request<Schemas["ParkedList"]>("GET", "/admin/parked"),
  redriveMails: () => request<Schemas["Redriven"]>("POST", "/admin/parked/redrive-mails", LONG),
  redrive: (id: string) => request<void>("POST", `/admin/parked/${encodeURIComponent(id)}/redrive`),
  trail: (subject: string | null, cursor: string | null, limit = 20) =>
    request<Page<TrailEntry>>("GET", `/admin/audit-trail${query({ subject, cursor, limit })}`),
};
