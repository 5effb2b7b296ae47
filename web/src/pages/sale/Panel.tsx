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

export function Panel(props: PanelProps) {
  const box = useRef<HTMLElement>(null);
  const before = useRef(props.stage);
  useEffect(() => {
    if (before.current === props.stage) return;
    before.current = props.stage;
    const words = SPOKEN[props.stage];
    if (!words) return;
    announce(t(words));
    box.current?.scrollIntoView({ block: "nearest" });
  }, [props.stage]);
  return (
    <section ref={box} class={`panel panel-${props.stage}`} data-stage={props.stage}>
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
