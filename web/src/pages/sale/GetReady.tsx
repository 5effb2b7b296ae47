// What a buyer can do while the countdown runs: have the delivery details ready.
import { t } from "../../i18n";
import { delivery } from "../../session/delivery";
import { DeliveryForm } from "../../ui/DeliveryForm";
import { Icon } from "../../ui/Icon";

export function GetReady() {
  const ready = delivery.value.address !== "";
  return (
    <details class="ready">
      <summary class="with-icon">
        <Icon name={ready ? "check" : "box"} />
        {ready ? t("delivery.title") : t("delivery.ready")}
      </summary>
      <DeliveryForm />
    </details>
  );
}
