// The sandbox provider's card form, with its test cards at hand.
import { type Key, t } from "../../i18n";
import { Field } from "../../ui/Field";
import type { Form } from "../../ui/useForm";
import { slashedExpiry, spacedCard } from "../../ui/validation";

export type CardField = "card" | "expiry" | "cvc";

const TEST_CARDS: readonly (readonly [string, Key])[] = [
  ["4242424242424242", "sandbox.accepted"],
  ["4000000000000002", "sandbox.refused"],
  ["4000000000003220", "sandbox.redirect"],
  ["4000000000000077", "sandbox.slow"],
  ["4000000000000119", "sandbox.lost"],
];

export function CardFields<N extends string>({ form }: { form: Form<N | CardField> }) {
  const number = form.field("card");
  const expiry = form.field("expiry");
  const fill = (card: string) => {
    form.set("card", spacedCard(card));
    form.set("expiry", "12/30");
    form.set("cvc", "123");
  };
  return (
    <>
      <Field
        label="field.card"
        inputMode="numeric"
        autocomplete="cc-number"
        maxLength={60}
        {...number}
        onValue={(value) => number.onValue(spacedCard(value))}
      />
      <div class="field-pair">
        <Field
          label="field.expiry"
          hint="field.expiry.hint"
          inputMode="numeric"
          autocomplete="cc-exp"
          maxLength={20}
          {...expiry}
          onValue={(value) => expiry.onValue(slashedExpiry(value))}
        />
        <Field
          label="field.cvc"
          inputMode="numeric"
          autocomplete="cc-csc"
          maxLength={20}
          {...form.field("cvc")}
        />
      </div>
      <TestCards onCard={fill} />
    </>
  );
}

function TestCards({ onCard }: { onCard: (card: string) => void }) {
  return (
    <details class="sandbox">
      <summary>{t("sandbox.title")}</summary>
      <p class="small">{t("sandbox.text")}</p>
      <ul>
        {TEST_CARDS.map(([card, what]) => (
          <li key={card}>
            <button type="button" class="test-card" onClick={() => onCard(card)}>
              <span class="digits">{spacedCard(card)}</span>
              <span>{t(what)}</span>
            </button>
          </li>
        ))}
      </ul>
    </details>
  );
}
