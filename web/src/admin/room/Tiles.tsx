// The numbers of this second.
import { number } from "../../i18n/format";
import { rate, span } from "../format";
import type { Stats } from "../server";
import { t } from "../text";
import { counter, decided, type Sample } from "./history";

interface Tile {
  name: string;
  value: string;
  more: string;
  bad?: boolean;
}

/** What a role last said; a dash if none of it is alive. */
function total(stats: Stats, role: string, name: string): string {
  return stats.roles.some((beat) => beat.role === role)
    ? number(counter(stats.roles, role, name))
    : "–";
}

function tilesOf(stats: Stats, now: Sample, peak: number): Tile[] {
  const { books, reading, pressure } = stats;
  const mails = Object.values(books.mails).reduce((sum, n) => sum + n, 0);
  return [
    {
      name: t("tile.requests"),
      value: rate(now.requestsPerS),
      more: t("tile.peak", { n: rate(peak) }),
    },
    {
      name: t("tile.queue"),
      value: pressure ? number(pressure.backlog) : "–",
      more: pressure ? t("tile.oldest", { span: span(pressure.oldest_ms) }) : t("tile.away"),
      bad: pressure?.full ?? true,
    },
    {
      name: t("tile.decided"),
      value: reading ? number(decided(reading)) : "–",
      more: reading ? t("tile.sold_out", { n: reading.refused }) : "",
    },
    {
      name: t("tile.standby"),
      value: number(now.standby),
      more: reading ? t("tile.limit", { n: reading.standby_limit }) : "",
    },
    {
      name: t("tile.promoted"),
      value: number(books.promoted),
      more: t("tile.rescued", { n: books.rescued }),
    },
    {
      name: t("tile.expired"),
      value: number(books.expired),
      more: t("tile.declined", { n: books.declined }),
    },
    {
      name: t("tile.sockets"),
      value: total(stats, "gateway", "sockets"),
      more: t("tile.watching", { n: stats.watching }),
    },
    {
      name: t("tile.mails"),
      value: number(books.mails.sent ?? 0),
      more: books.mails.parked
        ? t("tile.mails_parked", { n: mails, parked: books.mails.parked })
        : t("tile.mails_of", { n: mails }),
      bad: Boolean(books.mails.parked),
    },
  ];
}

export function Tiles({ stats, samples }: { stats: Stats; samples: readonly Sample[] }) {
  const now = samples[samples.length - 1];
  if (!now) return null;
  const peak = samples.reduce((most, sample) => Math.max(most, sample.requestsPerS), 0);
  return (
    <dl class="tiles">
      {tilesOf(stats, now, peak).map(({ name, value, more, bad }) => (
        <div key={name} class={`tile ${bad ? "bad" : ""}`}>
          <dt>{name}</dt>
          <dd class="value" translate={false}>
            {value}
          </dd>
          <dd class="small quiet">{more}</dd>
        </div>
      ))}
    </dl>
  );
}
