// Four charts of what the room has seen; uPlot is loaded with the first of them. Each has a legend with
// the present values, and the same numbers as a table.
import { useState } from "preact/hooks";
import { number, timeOfDay } from "../../i18n/format";
import { rate, span } from "../format";
import { type Key, t } from "../text";
import { Table } from "../ui/Table";
import { Canvas, type Line } from "./Canvas";
import type { Sample } from "./history";

interface ChartSpec {
  title: Key;
  lines: (Line & { name: Key; of: (sample: Sample) => number })[];
  /** Values are drawn on top of each other and add up to the stock. */
  stacked?: boolean;
  shown: (value: number) => string;
}

const CHARTS: ChartSpec[] = [
  {
    title: "chart.units",
    stacked: true,
    shown: number,
    lines: [
      { name: "unit.paid", kind: "paid", of: (s) => s.paid },
      { name: "unit.paying", kind: "paying", of: (s) => s.paying },
      { name: "unit.held", kind: "held", of: (s) => s.held },
      { name: "unit.free", kind: "free", of: (s) => s.free },
    ],
  },
  {
    title: "chart.requests",
    shown: rate,
    lines: [
      { name: "chart.pressed", kind: "pressed", of: (s) => s.requestsPerS },
      { name: "chart.decided", kind: "decided", of: (s) => s.decidedPerS },
    ],
  },
  {
    title: "chart.waiting",
    shown: number,
    lines: [
      { name: "unit.standby", kind: "standby", of: (s) => s.standby },
      { name: "unit.expired", kind: "expired", of: (s) => s.expired },
      { name: "unit.declined", kind: "declined", of: (s) => s.declined },
    ],
  },
  {
    title: "chart.age",
    shown: (value) => span(value),
    lines: [{ name: "chart.oldest", kind: "age", of: (s) => s.oldestMs }],
  },
];

export function Charts({ samples }: { samples: readonly Sample[] }) {
  return (
    <div class="charts">
      {CHARTS.map((spec) => (
        <Chart key={spec.title} spec={spec} samples={samples} />
      ))}
    </div>
  );
}

function Chart({ spec, samples }: { spec: ChartSpec; samples: readonly Sample[] }) {
  const last = samples[samples.length - 1];
  const [open, setOpen] = useState(false);
  const title = t(spec.title);
  return (
    <figure class="panel chart">
      <figcaption>
        <h2>{title}</h2>
        <ul class="legend">
          {spec.lines.map(({ name, kind, of }) => (
            <li key={kind}>
              <span class={`swatch ${kind}`} aria-hidden="true" />
              {t(name)} <strong>{last ? spec.shown(of(last)) : "–"}</strong>
            </li>
          ))}
        </ul>
      </figcaption>
      <Canvas
        lines={spec.lines}
        stacked={spec.stacked ?? false}
        shown={spec.shown}
        times={samples.map((sample) => sample.atMs / 1000)}
        values={spec.lines.map(({ of }) => samples.map(of))}
      />
      <details onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary class="small">{t("chart.as_table")}</summary>
        {open && <Numbers spec={spec} samples={samples} title={title} />}
      </details>
    </figure>
  );
}

const ROWS = 12;
const ROW_EVERY = 5; // samples

function Numbers({
  spec,
  samples,
  title,
}: {
  spec: ChartSpec;
  samples: readonly Sample[];
  title: string;
}) {
  const newest = samples.length - 1;
  const rows = samples.filter((_, i) => (newest - i) % ROW_EVERY === 0).slice(-ROWS);
  return (
    <Table
      caption={title}
      head={[t("chart.time"), ...spec.lines.map(({ name }) => t(name))]}
      numeric={spec.lines.map((_, i) => i + 1)}
    >
      {rows.reverse().map((sample) => (
        <tr key={sample.atMs}>
          <th scope="row">{timeOfDay(sample.atMs)}</th>
          {spec.lines.map(({ kind, of }) => (
            <td key={kind} class="number">
              {spec.shown(of(sample))}
            </td>
          ))}
        </tr>
      ))}
    </Table>
  );
}
