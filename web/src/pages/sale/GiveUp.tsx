// Give up a unit or a place in line, after being asked once more.
import { useState } from "preact/hooks";
import { problemOf } from "../../api/problem";
import { t } from "../../i18n";
import type { Buyer } from "../../purchase/buyer";
import { Confirm } from "../../ui/Confirm";
import { FormError } from "../../ui/Field";

export function GiveUp({ buyer, what }: { buyer: Buyer; what: "hold" | "standby" }) {
  const [asking, setAsking] = useState(false);
  const [failed, setFailed] = useState(false);
  const give = async () => {
    setAsking(false);
    setFailed(false);
    try {
      await buyer.giveUp();
    } catch (error) {
      problemOf(error);
      setFailed(true);
      await buyer.ask(); // it may have been done, and its answer lost
    }
  };
  return (
    <>
      {failed && <FormError>{t("giveup.failed")}</FormError>}
      <button type="button" class="button button-plain" onClick={() => setAsking(true)}>
        {t(`giveup.${what}`)}
      </button>
      {asking && (
        <Confirm
          title={`giveup.${what}.sure`}
          text={`giveup.${what}.text`}
          yes={`giveup.${what}`}
          onYes={() => void give()}
          onNo={() => setAsking(false)}
        />
      )}
    </>
  );
}
