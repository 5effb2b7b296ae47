// An amount and its currency.
import { CURRENCIES } from "../format";
import { t } from "../text";
import { TextField } from "./Labelled";

interface Props {
  label: string;
  amount: string;
  currency: string;
  onAmount: (text: string) => void;
  onCurrency: (code: string) => void;
  error?: string | undefined;
}

export function MoneyField({ label, amount, currency, onAmount, onCurrency, error }: Props) {
  const codes = CURRENCIES.includes(currency) ? CURRENCIES : [currency, ...CURRENCIES];
  return (
    <div class="money-field">
      <TextField
        label={label}
        value={amount}
        onValue={onAmount}
        error={error}
        inputMode="decimal"
        required
      />
      <select
        aria-label={t("currency")}
        value={currency}
        onChange={(event) => onCurrency(event.currentTarget.value)}
      >
        {codes.map((code) => (
          <option key={code} value={code}>
            {code}
          </option>
        ))}
      </select>
    </div>
  );
}
