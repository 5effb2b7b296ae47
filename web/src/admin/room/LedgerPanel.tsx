// The conservation of units: free + held + paid = stock, as a sum, as a bar, and as the audit sees it.
import { number } from "../../i18n/format";
import { percent } from "../format";
import type { Stats } from "../server";
import { t } from "../text";
import { Audit } from "./Audit";
import { balanced, type Units, unitsOf } from "./units";

interface Props {
  stats: Stats;
  onChecked: () => void;
}

export function LedgerPanel({ stats, onChecked }: Props) {
  const units = unitsOf(stats);
  const held = units.held + units.paying;
  const good = balanced(units);
  return (
    <section class="panel ledger" aria-labelledby="ledger-head">
      <h2 id="ledger-head" class="visually-hidden">
        {t("ledger.title")}
      </h2>
      <p class="sum">
        <Term value={units.free} name={t("unit.free")} kind="free" />
        <span class="op">+</span>
        <Term value={held} name={t("unit.held")} kind="held">
          {units.paying > 0 && t("ledger.of_which_paying", { n: units.paying })}
        </Term>
        <span class="op">+</span>
        <Term value={units.paid} name={t("unit.paid")} kind="paid" />
        <span class="op">=</span>
        <Term value={units.stock} name={t("unit.stock")} kind="stock" />
        <strong class={`check ${good ? "good" : "bad"}`}>
          {good ? `✓ ${t("ledger.balanced")}` : `✗ ${t("ledger.unbalanced")}`}
        </strong>
      </p>
      <Bar units={units} />
      <div class="ledger-foot">
        <p class="small quiet">
          {t("ledger.sql", {
            granted: stats.ledger.granted,
            sold: stats.ledger.sold,
            stock: stats.ledger.stock,
          })}{" "}
          {t(units.live ? "ledger.live" : "ledger.not_live")}
        </p>
        <Audit stats={stats} onChecked={onChecked} />
      </div>
    </section>
  );
}

interface TermProps {
  value: number;
  name: string;
  kind: string;
  children?: string | false;
}

function Term({ value, name, kind, children }: TermProps) {
  return (
    <span class={`term ${kind}`}>
      <strong>{number(value)}</strong>
      <span>{name}</span>
      {children && <small>{children}</small>}
    </span>
  );
}

const ORDER = ["paid", "paying", "held"] as const;

/** The bar is an SVG: its widths are attributes, which the policy of the pages allows. */
function Bar({ units }: { units: Units }) {
  let x = 0;
  const label = t("ledger.bar", {
    paid: units.paid,
    stock: units.stock,
    share: percent(units.paid, units.stock),
  });
  return (
    <svg class="bar" viewBox="0 0 1000 20" preserveAspectRatio="none" role="img" aria-label={label}>
      <rect class="free" width="1000" height="20" />
      {ORDER.map((kind) => {
        const width = (1000 * units[kind]) / Math.max(1, units.stock);
        const start = x;
        x += width;
        return <rect key={kind} class={kind} x={start} width={width} height="20" />;
      })}
    </svg>
  );
}
