// Name, phone and address, saved on this device for the checkout.
import type { TargetedSubmitEvent } from "preact";
import { useState } from "preact/hooks";
import { t } from "../i18n";
import { type Delivery, delivery, saveDelivery } from "../session/delivery";
import { user } from "../session/session";
import { announce } from "./announce";
import { Field } from "./Field";
import { Icon } from "./Icon";
import { phoneNumber } from "./typed";
import { type Form, useForm } from "./useForm";
import { phone, required } from "./validation";

export const DELIVERY_CHECKS = { name: required, phone, address: required };

/** What is known of the buyer, to begin a form with. */
export function knownDelivery(): Delivery {
  const known = delivery.value;
  return { ...known, name: known.name || (user.value?.name ?? "") };
}

/** What was typed, as it is sent and kept. */
export function deliveryOf({ name, phone: typed, address }: Delivery): Delivery {
  return { name: name.trim(), phone: phoneNumber(typed) ?? typed, address: address.trim() };
}

export function DeliveryFields({ form }: { form: Form<keyof Delivery> }) {
  return (
    <>
      <Field label="field.name" autocomplete="name" maxLength={120} {...form.field("name")} />
      <Field
        label="field.phone"
        type="tel"
        inputMode="tel"
        autocomplete="tel"
        maxLength={80}
        {...form.field("phone")}
      />
      <Field
        label="field.address"
        lines={3}
        autocomplete="street-address"
        maxLength={500}
        {...form.field("address")}
      />
    </>
  );
}

export function DeliveryForm() {
  const form = useForm<keyof Delivery>(knownDelivery(), DELIVERY_CHECKS);
  const [saved, setSaved] = useState(false);
  const send = (event: TargetedSubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    if (!form.good(event.currentTarget)) return;
    saveDelivery(deliveryOf(form.values));
    setSaved(true);
    announce(t("delivery.saved"));
  };
  return (
    <form class="stack" onSubmit={send} onInput={() => setSaved(false)} noValidate>
      <h2>{t("delivery.title")}</h2>
      <DeliveryFields form={form} />
      <p class="quiet small">{t("delivery.kept")}</p>
      <button type="submit" class="button button-quiet">
        {saved && <Icon name="check" />}
        {t(saved ? "delivery.saved" : "delivery.save")}
      </button>
    </form>
  );
}
