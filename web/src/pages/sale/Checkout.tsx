// Pay for the unit that is held: delivery, card, one button.
import type { TargetedSubmitEvent } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { CheckoutBody, Sale } from "../../api/types";
import { serverNow } from "../../clock/server";
import { t } from "../../i18n";
import { money } from "../../i18n/format";
import type { Buyer } from "../../purchase/buyer";
import { type PaymentOutcome, pay } from "../../purchase/checkout";
import { go } from "../../router";
import { type Delivery, saveDelivery } from "../../session/delivery";
import { DELIVERY_CHECKS, DeliveryFields, deliveryOf, knownDelivery } from "../../ui/DeliveryForm";
import { FormError } from "../../ui/Field";
import { cardCode, cardExpiry, cardNumber } from "../../ui/typed";
import { type Form, useForm } from "../../ui/useForm";
import * as fields from "../../ui/validation";
import { type CardField, CardFields } from "./CardFields";
import { returned } from "./returned";

type Name = keyof Delivery | CardField;
const SLOW_MS = 4_000;

export function Checkout({ buyer, sale }: { buyer: Buyer; sale: Sale }) {
  const form = useForm<Name>(
    { ...knownDelivery(), card: "", expiry: "", cvc: "" },
    {
      ...DELIVERY_CHECKS,
      card: fields.card,
      expiry: fields.expiry(serverNow()),
      cvc: fields.cvc,
    },
  );
  const [busy, setBusy] = useState(false);
  // back from the bank and still held: the bank said no
  const [failure, setFailure] = useState(() => (returned() ? t("checkout.returned") : null));
  const slow = useSlow(busy);
  const send = async (event: TargetedSubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    if (busy) return;
    if (!form.good(event.currentTarget)) {
      setFailure(t("checkout.fields"));
      return;
    }
    setBusy(true);
    setFailure(null);
    saveDelivery(deliveryOf(form.values));
    setFailure(said(await pay(buyer, bodyOf(buyer, form.values)), form));
    setBusy(false);
  };
  return (
    <form class="checkout stack" onSubmit={send} noValidate>
      {failure && <FormError>{failure}</FormError>}
      <fieldset class="stack" disabled={busy}>
        <legend>{t("delivery.title")}</legend>
        <DeliveryFields form={form} />
      </fieldset>
      <fieldset class="stack" disabled={busy}>
        <legend>{t("checkout.card")}</legend>
        <CardFields form={form} />
      </fieldset>
      <button type="submit" class="button button-wide button-big" disabled={busy} aria-busy={busy}>
        {busy ? t("checkout.sending") : t("checkout.pay", { price: money(sale.price) })}
      </button>
      <p class="quiet small" role="status">
        {slow && t("checkout.slow")}
      </p>
    </form>
  );
}

function bodyOf(buyer: Buyer, values: Record<Name, string>): CheckoutBody {
  return {
    checkout_token: buyer.purchase.peek().place.checkoutToken ?? "",
    payment: {
      card: cardNumber(values.card) ?? values.card,
      expiry: cardExpiry(values.expiry) ?? values.expiry,
      cvc: cardCode(values.cvc) ?? values.cvc,
    },
    ...deliveryOf(values),
  };
}

/** Goes where the payment leads, or returns what to say about it. */
function said(outcome: PaymentOutcome, form: Form<Name>): string | null {
  switch (outcome.kind) {
    case "order":
      go(`/orders/${outcome.orderId}?won`, { replace: true });
      return null;
    case "redirect":
      location.assign(outcome.url);
      return null;
    case "refused":
      return t("checkout.refused");
    case "undone":
      return t("checkout.undone");
    case "field":
      form.wrong(outcome.field.split(".").at(-1) ?? "", t("error.server"));
      return t("checkout.fields");
    case "expired":
      return null; // the place has ended, and the page with it
    case "failed":
      return t("checkout.failed", { code: outcome.code });
  }
}

function useSlow(busy: boolean): boolean {
  const [slow, setSlow] = useState(false);
  useEffect(() => {
    if (!busy) return setSlow(false);
    const timer = window.setTimeout(() => setSlow(true), SLOW_MS);
    return () => window.clearTimeout(timer);
  }, [busy]);
  return slow;
}
