// Where every unit of a sale is: free, held, paying or paid. Redis says it of one instant while the
// sale is live; of a sale that is settled, or while Redis is away, the ledger in SQL does.
import type { Stats } from "../server";

export interface Units {
  stock: number;
  free: number;
  /** On hold and not in a payment. */
  held: number;
  paying: number;
  paid: number;
  /** Whether this is Redis's own count. */
  live: boolean;
}

export function unitsOf({ reading, ledger, books, phase }: Stats): Units {
  if (reading && reading.epoch > 0 && phase !== "settled") {
    const paying = Math.min(books.paying, reading.held);
    return {
      stock: reading.stock,
      free: reading.free,
      held: reading.held - paying,
      paying,
      paid: reading.paid,
      live: true,
    };
  }
  const paying = Math.min(books.paying, ledger.granted - ledger.sold);
  return {
    stock: ledger.stock,
    free: ledger.stock - ledger.granted,
    held: ledger.granted - ledger.sold - paying,
    paying,
    paid: ledger.sold,
    live: false,
  };
}

/** Does every unit have exactly one place? */
export function balanced({ stock, free, held, paying, paid }: Units): boolean {
  return free + held + paying + paid === stock && Math.min(free, held, paying, paid) >= 0;
}
