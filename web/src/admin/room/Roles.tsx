// Which processes are alive, by their heartbeats. One that was seen here and fell silent stays listed.
import { useRef } from "preact/hooks";
import { number } from "../../i18n/format";
import { span } from "../format";
import type { Heartbeat, Stats } from "../server";
import { t } from "../text";
import { Table } from "../ui/Table";

const ROLES = ["publisher", "consumer", "gateway", "api", "scheduler", "mailer"];
const LATE_MS = 3_000;
const FORGOTTEN_MS = 60_000;
/** What each role is best told by. */
const TELLING: Record<string, string[]> = {
  publisher: ["requests", "accepted"],
  consumer: ["batches", "decided"],
  gateway: ["sockets"],
  api: ["responses_2xx", "responses_5xx"],
  scheduler: ["released", "promoted"],
  mailer: ["sent"],
};

type Health = "alive" | "late" | "silent" | "missing";

interface Row {
  name: string;
  health: Health;
  ageMs: number | null;
  says: string;
}

function rowsOf(seen: Map<string, Heartbeat>, alive: Set<string>, nowMs: number): Row[] {
  const rows: Row[] = [];
  for (const role of ROLES) {
    const beats = [...seen.entries()].filter(([, beat]) => beat.role === role);
    if (beats.length === 0) rows.push({ name: role, health: "missing", ageMs: null, says: "" });
    for (const [name, beat] of beats.sort(([a], [b]) => a.localeCompare(b))) {
      const ageMs = Math.max(0, nowMs - beat.beat_ms);
      const health = alive.has(name) ? (ageMs > LATE_MS ? "late" : "alive") : "silent";
      const says = (TELLING[role] ?? [])
        .map((counter) => `${counter} ${number(beat.counters[counter] ?? 0)}`)
        .join(", ");
      rows.push({ name, health, ageMs, says });
    }
  }
  return rows;
}

export function Roles({ stats }: { stats: Stats }) {
  const seen = useRef(new Map<string, Heartbeat>());
  const alive = new Set<string>();
  for (const beat of stats.roles) {
    const name = `${beat.role}-${beat.instance}`;
    alive.add(name);
    seen.current.set(name, beat);
  }
  const now = stats.server_time_ms;
  for (const [name, beat] of seen.current) {
    if (now - beat.beat_ms > FORGOTTEN_MS) seen.current.delete(name);
  }
  return (
    <div class="panel roles">
      <h2>{t("roles.title")}</h2>
      <Table
        caption={t("roles.title")}
        head={[t("roles.process"), t("roles.health"), t("roles.heard"), t("roles.says")]}
      >
        {rowsOf(seen.current, alive, now).map(({ name, health, ageMs, says }) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td>
              <span class={`health ${health}`}>{t(`health.${health}`)}</span>
            </td>
            <td>{ageMs === null ? "–" : t("ago", { span: span(ageMs) })}</td>
            <td class="small quiet">{says}</td>
          </tr>
        ))}
      </Table>
      <p class="hint">{t("roles.hint")}</p>
    </div>
  );
}
