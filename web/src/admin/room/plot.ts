// uPlot, set up for the room. It sets styles only through the DOM, which the policy of the pages
// allows. Stacked series are drawn as sums, the highest first, each covering the one below.
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { language } from "../../i18n/language";
import type { CanvasProps } from "./Canvas";
import { WHOLE } from "./scale";

const SHOWN_AT_LEAST_S = 60;

/** The colour a class gives text inside `element`. */
function colour(element: Element, kind: string): string {
  const probe = document.createElement("span");
  probe.className = `swatch ${kind}`;
  element.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function faint(rgb: string): string {
  return rgb.replace(/^rgb\((.+)\)$/, "rgba($1, 0.14)");
}

/** In 24 hours, which are short. */
function tick(seconds: number): string {
  return new Intl.DateTimeFormat(language.value, { timeStyle: "medium", hourCycle: "h23" }).format(
    seconds * 1000,
  );
}

/** Sums from the first row up to each, highest first. */
export function stack(values: number[][]): number[][] {
  const sums: number[][] = [];
  for (const row of values) {
    const below = sums[sums.length - 1];
    sums.push(row.map((value, i) => value + (below?.[i] ?? 0)));
  }
  return sums.reverse();
}

export class Plot {
  private readonly plot: uPlot;
  private readonly stacked: boolean;

  constructor(element: HTMLElement, props: CanvasProps, height: number) {
    this.stacked = props.stacked;
    const lines = props.stacked ? [...props.lines].reverse() : props.lines;
    const axis: uPlot.Axis = {
      stroke: colour(element, "axis"),
      grid: { stroke: colour(element, "grid"), width: 1 },
      ticks: { stroke: colour(element, "grid"), width: 1 },
      font: "12px system-ui, sans-serif",
    };
    const options: uPlot.Options = {
      width: Math.max(200, element.clientWidth),
      height,
      padding: [8, 28, 0, 0],
      legend: { show: false },
      cursor: { show: false },
      scales: {
        x: { range: (_plot, low, high) => [Math.min(low, high - SHOWN_AT_LEAST_S), high] },
        y: { range: (_plot, _low, high) => [0, Math.max(1, high * 1.06)] },
      },
      axes: [
        { ...axis, size: 30, space: 90, values: (_plot, seconds) => seconds.map(tick) },
        {
          ...axis,
          size: 62,
          space: 40,
          incrs: WHOLE,
          values: (_plot, ticks) => ticks.map(props.shown),
        },
      ],
      series: [
        {},
        ...lines.map(({ kind }) => {
          const stroke = colour(element, kind);
          return {
            stroke,
            width: props.stacked ? 0 : 2,
            fill: props.stacked ? stroke : faint(stroke),
            points: { show: false },
          };
        }),
      ],
    };
    this.plot = new uPlot(options, this.data(props.times, props.values), element);
  }

  draw(times: number[], values: number[][]): void {
    this.plot.setData(this.data(times, values));
  }

  resize(width: number, height: number): void {
    if (width > 0) this.plot.setSize({ width, height });
  }

  end(): void {
    this.plot.destroy();
  }

  private data(times: number[], values: number[][]): uPlot.AlignedData {
    return [times, ...(this.stacked ? stack(values) : values)];
  }
}
