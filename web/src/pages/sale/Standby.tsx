// In line for a unit that comes free: the position as it is now, and what it is worth.
import { t } from "../../i18n";
import { number } from "../../i18n/format";
import { GiveUp } from "./GiveUp";
import type { PanelProps } from "./Panel";

export function Standby({ visit, sale }: PanelProps) {
  const { position } = visit.buyer.purchase.value.place;
  return (
    <div class="outcome">
      <h2>{t("standby.title")}</h2>
      {position !== null && (
        <>
          <p class="position">
            <span>{t("standby.position")}</span>
            <b class="digits" data-position={position} translate={false}>
              {number(position)}
            </b>
          </p>
          <p>{t("standby.chance", { n: position })}</p>
          {position > sale.stock && <p class="notice notice-warn">{t("standby.slim")}</p>}
        </>
      )}
      <p class="quiet small">{t("standby.turn")}</p>
      <GiveUp buyer={visit.buyer} what="standby" />
    </div>
  );
}
