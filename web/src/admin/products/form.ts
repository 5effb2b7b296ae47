// Product draft: what is typed into the form, and how it becomes the body that the API takes.
import { amountText, minorUnits } from "../format";
import type { Product, ProductBody } from "../server";
import type { Key } from "../text";

export interface ProductDraft {
  name: string;
  description: string;
  amount: string;
  currency: string;
}

export function productDraft(product: Product | null): ProductDraft {
  return {
    name: product?.name ?? "",
    description: product?.description ?? "",
    amount: product ? amountText(product.list_price) : "",
    currency: product?.list_price.currency ?? "USD",
  };
}

/**
 * The body, or what is wrong by the API's names of fields. A price that nobody touched stays as it is.
 *
 * @param product what the form began with.
 */
export function readProduct(
  draft: ProductDraft,
  product: Product | null,
): { body: ProductBody } | { errors: Record<string, Key> } {
  const { name, description, currency } = draft;
  const was = productDraft(product);
  const samePrice = was.amount === draft.amount && was.currency === currency;
  const amount =
    product && samePrice ? product.list_price.amount : minorUnits(draft.amount, currency);
  const errors: Record<string, Key> = {};
  if (!name.trim()) errors.name = "wrong.empty";
  if (amount === null) errors.list_price = "wrong.amount";
  if (amount === null || errors.name) return { errors };
  return { body: { name, description, list_price: { amount, currency } } };
}

/** Where an error of the server belongs; "form" if no field of the form has that name. */
export function productField(name: string | null): string {
  const top = name?.split(".")[0] ?? "";
  return ["name", "description", "list_price"].includes(top) ? top : "form";
}
