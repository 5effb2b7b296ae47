// Where a parcel goes: name, phone and address, kept on this device until its owner signs out.
import { signal } from "@preact/signals";
import { onSignOut } from "./session";
import { loadObject, save } from "./storage";

const KEY = "miaosha.delivery";

export interface Delivery {
  name: string;
  phone: string;
  address: string;
}

const NOTHING: Delivery = { name: "", phone: "", address: "" };

function stored(): Delivery {
  const found = loadObject(KEY) ?? {};
  const text = (key: keyof Delivery) => (typeof found[key] === "string" ? found[key] : "");
  return { name: text("name"), phone: text("phone"), address: text("address") };
}

export const delivery = signal<Delivery>(stored());

export function saveDelivery(given: Delivery): void {
  delivery.value = given;
  save(KEY, JSON.stringify(given));
}

onSignOut(() => {
  delivery.value = NOTHING;
  save(KEY, null);
});
