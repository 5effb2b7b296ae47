// Sales: those that the shop's pages list.
import { request } from "../api/client";
import type { Sale } from "../api/types";
import { type Loaded, useLoad } from "../ui/useLoad";

export function useSales(): Loaded<Sale[]> {
  return useLoad(async () => (await request<{ items: Sale[] }>("GET", "/sales")).items);
}

/** For the names and pictures of what was bought; an old sale may be missing. */
export function salesById(sales: Sale[] | null): Map<number, Sale> {
  return new Map(sales?.map((sale) => [sale.id, sale]));
}
