// The part of a sale's page where things happen: one face per stage.
import { useEffect, useRef } from "preact/hooks";
import type { Sale } from "../../api/types";
import { type Key, t } from "../../i18n";
import type { Stage } from "../../purchase/stage";
import { announce } from "../../ui/announce";
import { BuyPanel } from "./BuyPanel";
import { Held } from "./Held";
import { Gone, Paid, Paying, Queued } from "./Outcomes";
import type { Visit } from "./SalePage";
import { Standby } from "./Standby";

export interface PanelProps {
  visit: Visit;
  sale: Sale;
  stage: Stage;
}

const SPOKEN: Partial<Record<Stage, Key>> = {
  queued: "queued.title",
  held: "held.title",
  standby: "standby.title",
  paying: "paying.title",
  paid: "paid.title",
};

/** A new face takes the focus along if what had it is gone with the old one. */
export function Panel(props: PanelProps) {
  const box = useRef<HTMLElement>(null);
  const before = useRef(props.stage);
  useEffect(() => {
    const left = before.current;
    before.current = props.stage;
    const words = SPOKEN[props.stage];
    if (left === props.stage || !(words || SPOKEN[left])) return;
    if (words) announce(t(words));
    if (document.activeElement === document.body) box.current?.focus({ preventScroll: true });
    box.current?.scrollIntoView({ block: "nearest" });
  }, [props.stage]);
  return (
    <section ref={box} tabIndex={-1} class={`panel panel-${props.stage}`} data-stage={props.stage}>
      <Face {...props} />
    </section>
  );
}

function Face(props: PanelProps) {
  // the form that sent the payment stays: it will be told what came of it
  const sending = props.stage === "paying" && props.visit.buyer.checkingOut.value;
  switch (sending ? "held" : props.stage) {
    case "held":
      return <Held {...props} />;
    case "paying":
      return <Paying {...props} />;
    case "paid":
      return <Paid {...props} />;
    case "standby":
      return <Standby {...props} />;
    case "queued":
      return <Queued />;
    case "gone":
    case "over":
      return <Gone {...props} />;
    default:
      return <BuyPanel {...props} />;
  }
}
