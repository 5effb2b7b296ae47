// The levers of a running sale. Each asks first; each is in the trail.
import { useState } from "preact/hooks";
import { whole } from "../format";
import { STOCK_MAX } from "../sales/form";
import { type AdminSale, type Phase, type Stats, server } from "../server";
import { type Key, t } from "../text";
import { Dialog } from "../ui/Dialog";
import { TextField } from "../ui/Labelled";

interface Props {
  sale: AdminSale;
  stats: Stats;
  onDone: () => void;
}

type Lever = "pause" | "resume" | "close" | "stock" | "rebuild";

/** Which levers a sale in this phase has. */
export function levers(phase: Phase, stored: Phase): Lever[] {
  if (phase === "draft" || phase === "settled") return [];
  const found: Lever[] = [];
  if (phase === "scheduled" || phase === "open") found.push("pause");
  if (stored === "paused") found.push("resume");
  if (["scheduled", "open", "paused"].includes(phase)) found.push("stock");
  if (phase === "frozen") found.push("rebuild");
  if (phase !== "closed") found.push("close");
  return found;
}

export function Controls({ sale, stats, onDone }: Props) {
  const [asked, setAsked] = useState<Lever | null>(null);
  return (
    <div class="controls">
      {levers(stats.phase, stats.stored_phase).map((lever) => (
        <button
          key={lever}
          type="button"
          class={`button ${lever === "close" ? "danger" : lever === "resume" ? "primary" : ""}`}
          onClick={() => setAsked(lever)}
        >
          {t(`lever.${lever}` as Key)}
        </button>
      ))}
      <a class="button" href={`/admin/sales/${sale.id}/report`}>
        {t("sales.report")}
      </a>
      <a class="button" href={`/admin/sales/${sale.id}/edit`}>
        {t("sales.terms")}
      </a>
      {asked === "stock" && (
        <StockDialog
          stock={stats.ledger.stock}
          granted={stats.ledger.granted}
          saleId={sale.id}
          onDone={onDone}
          onClose={() => setAsked(null)}
        />
      )}
      {asked && asked !== "stock" && (
        <Dialog
          title={t(`lever.${asked}_title` as Key, { title: sale.sale.title })}
          action={t(`lever.${asked}` as Key)}
          danger={asked === "close"}
          onConfirm={async () => {
            await server.steer(sale.id, asked);
            onDone();
          }}
          onClose={() => setAsked(null)}
        >
          <p>{t(`lever.${asked}_why` as Key)}</p>
          <p class="quiet small">{t("lever.recorded")}</p>
        </Dialog>
      )}
    </div>
  );
}

interface StockProps {
  stock: number;
  granted: number;
  saleId: number;
  onDone: () => void;
  onClose: () => void;
}

function StockDialog({ stock, granted, saleId, onDone, onClose }: StockProps) {
  const [text, setText] = useState(String(stock));
  const [error, setError] = useState("");
  const wanted = whole(text, 1, STOCK_MAX);
  const save = async () => {
    if (wanted === null || wanted < granted) {
      setError(t("lever.stock_wrong", { low: Math.max(1, granted) }));
      return false;
    }
    await server.setStock(saleId, wanted);
    onDone();
    return true;
  };
  const change = wanted === null ? 0 : wanted - stock;
  return (
    <Dialog
      title={t("lever.stock_title")}
      action={t("lever.stock")}
      onConfirm={save}
      onClose={onClose}
    >
      <p>{t("lever.stock_why")}</p>
      <TextField
        label={t("lever.stock_field")}
        value={text}
        onValue={(value) => {
          setText(value);
          setError("");
        }}
        error={error}
        hint={
          change > 0
            ? t("lever.stock_more", { n: change })
            : change < 0
              ? t("lever.stock_less", { n: -change })
              : t("lever.stock_same")
        }
        inputMode="numeric"
      />
      <p class="quiet small">{t("lever.recorded")}</p>
    </Dialog>
  );
}
