// Short names for what the API takes and answers, from the generated schema.
import type { components } from "./schema";

export type Schemas = components["schemas"];

export type Sale = Schemas["SaleView"];
export type Question = Schemas["QuestionView"];
export type Mine = Schemas["Mine"];
export type State = Mine["state"];
export type Order = Schemas["OrderView"];
export type Session = Schemas["SessionView"];
export type SignedInAnswer = Schemas["SignedIn"];
export type User = Schemas["UserView"];
export type Money = Schemas["Money"];
export type Queued = Schemas["Queued"];
export type CheckoutBody = Schemas["CheckoutBody"];
export type ActionNeeded = Schemas["ActionNeeded"];

/** A part of a list; the cursor is null at its end. */
export interface Page<T> {
  items: T[];
  next_cursor: string | null;
}
