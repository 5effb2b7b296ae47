// One uPlot chart in the colours of the page; drawn anew when the scheme of the page changes.
import { useEffect, useRef, useState } from "preact/hooks";
import type { Plot } from "./plot";

export interface Line {
  /** Names its colour: the class of its swatch. */
  kind: string;
}

export interface CanvasProps {
  lines: Line[];
  stacked: boolean;
  shown: (value: number) => string;
  /** Unix seconds, one for each value. */
  times: number[];
  values: number[][];
}

const HEIGHT = 190;
const plots = () => import("./plot");

/** Counts changes of light and dark. */
function useScheme(): number {
  const [changes, setChanges] = useState(0);
  useEffect(() => {
    const changed = () => setChanges((n) => n + 1);
    const media = matchMedia("(prefers-color-scheme: dark)");
    const chosen = new MutationObserver(changed);
    media.addEventListener("change", changed);
    chosen.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    return () => {
      media.removeEventListener("change", changed);
      chosen.disconnect();
    };
  }, []);
  return changes;
}

export function Canvas(props: CanvasProps) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<Plot | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const scheme = useScheme();
  useEffect(() => {
    let here = true;
    const element = box.current;
    if (!element) return;
    const resized = new ResizeObserver(() => plot.current?.resize(element.clientWidth, HEIGHT));
    void plots().then(({ Plot }) => {
      if (!here) return;
      plot.current = new Plot(element, latest.current, HEIGHT);
      resized.observe(element);
    });
    return () => {
      here = false;
      resized.disconnect();
      plot.current?.end();
      plot.current = null;
    };
  }, [scheme]);
  useEffect(() => plot.current?.draw(props.times, props.values));
  return <div ref={box} class="canvas" aria-hidden="true" />;
}
