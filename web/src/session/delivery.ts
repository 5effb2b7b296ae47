// Where a parcel goes: name, phone and address of whoever is signed in, kept on this device alone until
// they sign out. Who comes next to it sees nothing of them; the shop learns it with the order.
import { effect, signal } from "@preact/signals";
import { onSignOut, userId } from "./session";
import { loadObject, save } from "./storage";

export interface Delivery {
  name: string;
  phone: string;
  address: string;
}

const NOTHING: Delivery = { name: "", phone: "", address: "" };

const keyOf = (who: number) => `miaosha.delivery.${who}`;

function stored(who: number | null): Delivery {
  const found = who === null ? null : loadObject(keyOf(who));
  if (!found) return NOTHING;
  const text = (key: keyof Delivery) => (typeof found[key] === "string" ? found[key] : "");
  return { name: text("name"), phone: text("phone"), address: text("address") };
}

export const delivery = signal<Delivery>(NOTHING);
effect(() => {
  delivery.value = stored(userId.value);
});

export function saveDelivery(given: Delivery): void {
  const who = userId.peek();
  delivery.value = given;
  if (who !== null) save(keyOf(who), JSON.stringify(given));
}

onSignOut((who) => save(keyOf(who), null));
