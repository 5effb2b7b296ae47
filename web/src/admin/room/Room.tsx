// The live control room of one sale: what it does this second, and the levers.
import { useCallback, useRef, useState } from "preact/hooks";
import type { Problem } from "../../api/problem";
import { measured, steadyMs } from "../../clock/server";
import { useLoad } from "../../ui/useLoad";
import { type AdminSale, type Stats, server } from "../server";
import { t } from "../text";
import { NotYet, problemText } from "../ui/Note";
import { Charts } from "./Charts";
import { Clock } from "./Clock";
import { Controls } from "./Controls";
import { History } from "./history";
import { LedgerPanel } from "./LedgerPanel";
import { Recent } from "./Recent";
import { Roles } from "./Roles";
import { Tiles } from "./Tiles";
import { usePolling } from "./usePolling";

const POLL_MS = 1_000;

export function Room({ id }: { id: number }) {
  const { value: sale, problem, again } = useLoad(() => server.sale(id), id);
  if (!sale) return <NotYet problem={problem} onRetry={again} />;
  return <Live sale={sale} />;
}

function Live({ sale }: { sale: AdminSale }) {
  const { stats, samples, problem, now } = useStats(sale.id);
  const [actions, setActions] = useState(0);
  const acted = () => {
    setActions(actions + 1);
    now();
  };
  if (!stats) return <NotYet problem={problem} onRetry={now} />;
  return (
    <div class="room">
      <header class="room-head">
        <div>
          <h1>{sale.sale.title}</h1>
          {sale.sale.product.name !== sale.sale.title && (
            <p class="quiet small">{sale.sale.product.name}</p>
          )}
        </div>
        <Clock stats={stats} />
        <Controls sale={sale} stats={stats} onDone={acted} />
      </header>
      <Stale problem={problem} onRetry={now} />
      {stats.ledger.frozen !== null && (
        <p class="note bad" role="alert">
          {t("room.frozen", { why: stats.ledger.frozen })}
        </p>
      )}
      <LedgerPanel stats={stats} onChecked={now} />
      <Tiles stats={stats} samples={samples} />
      <Charts samples={samples} />
      <div class="two even">
        <Roles stats={stats} />
        <Recent saleId={sale.id} actions={actions} />
      </div>
    </div>
  );
}

/** What the room shows of this second, and what it has seen before. */
function useStats(id: number) {
  const history = useRef(new History());
  const [stats, setStats] = useState<Stats | null>(null);
  const ask = useCallback(
    async (signal: AbortSignal) => {
      const sentMs = steadyMs();
      const answer = await server.stats(id, signal);
      measured(sentMs, answer.server_time_ms);
      return answer;
    },
    [id],
  );
  const take = useCallback((answer: Stats) => {
    history.current.take(answer);
    setStats(answer);
  }, []);
  const { samples } = history.current;
  return { stats, samples, ...usePolling(ask, take, POLL_MS) };
}

/** The numbers stay while answers fail; this says how old they are. */
function Stale({ problem, onRetry }: { problem: Problem | null; onRetry: () => void }) {
  return (
    <div role="status">
      {problem && (
        <p class="note warn">
          {t("room.stale", { why: problemText(problem) })}
          <button type="button" class="link" onClick={onRetry}>
            {t("retry")}
          </button>
        </p>
      )}
    </div>
  );
}
