// An entry of the trail in words.
import type { TrailEntry } from "../server";
import { type Key, t } from "../text";

const KNOWN: Record<string, Key> = {
  "sale.create": "did.sale_create",
  "sale.update": "did.sale_update",
  "sale.delete": "did.sale_delete",
  "sale.publish": "did.sale_publish",
  "sale.pause": "did.sale_pause",
  "sale.resume": "did.sale_resume",
  "sale.close": "did.sale_close",
  "sale.stock": "did.sale_stock",
  "sale.rebuild": "did.sale_rebuild",
  "product.create": "did.product_create",
  "product.update": "did.product_update",
  "product.delete": "did.product_delete",
  "product.picture": "did.product_picture",
  "orders.csv": "did.orders_export",
  "orders.xlsx": "did.orders_export",
  "order.delivery": "did.order_delivery",
  "user.story": "did.user_story",
  "parked.redrive": "did.parked_redrive",
  "hold.extend": "did.hold_extend",
};

export function action(entry: TrailEntry): string {
  const key = KNOWN[entry.action];
  const { old, new: to } = entry.detail as { old?: unknown; new?: unknown };
  const more = typeof old === "number" && typeof to === "number" ? ` ${old} → ${to}` : "";
  return (key ? t(key) : entry.action) + more;
}

export function whoOf(entry: TrailEntry): string {
  return entry.actor_name ? `${entry.actor_name} (${entry.actor})` : entry.actor;
}
