// Whether the buyer has just come back from the bank's page.
import { place } from "../../router";

export function returned(): boolean {
  return new URLSearchParams(place.peek().query).get("payment") === "returned";
}
