// How an earlier place or request of this buyer ended, why, and whether pressing again can help.
import { useEffect } from "preact/hooks";
import type { State } from "../../api/types";
import { serverNow } from "../../clock/server";
import { type Key, t } from "../../i18n";
import { pressingAgain } from "../../purchase/stage";
import { announce } from "../../ui/announce";
import type { PanelProps } from "./Panel";

const WORDS: Partial<Record<State, [Key, Key]>> = {
  sold_out: ["soldout.title", "soldout.text"],
  expired: ["expired.title", "expired.text"],
  declined: ["declined.title", "declined.text"],
  left: ["left.title", "left.text"],
  closed: ["closed.title", "closed.text"],
};

export function Ended({ visit, sale }: PanelProps) {
  const { state } = visit.buyer.purchase.value.place;
  const words = WORDS[state];
  useEffect(() => {
    if (words) announce(t(words[0]));
  }, [state]);
  if (!words) return null;
  const again = state === "closed" ? null : pressingAgain(sale, serverNow());
  return (
    <div class="ended">
      <h2>{t(words[0])}</h2>
      <p>{t(words[1], { n: sale.stock })}</p>
      {again && <p class="quiet">{t(`again.${again}`)}</p>}
    </div>
  );
}
