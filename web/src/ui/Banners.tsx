// What concerns every page: no network, a session that has ended or is about to.
import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { problemOf } from "../api/problem";
import { clockText } from "../clock/countdown";
import { askTime, offset, serverNow } from "../clock/server";
import { useRemaining } from "../clock/useRemaining";
import { t } from "../i18n";
import { place } from "../router";
import { isForm, signPath } from "../session/afterwards";
import {
  ENDING_BELOW_MS,
  renew,
  runOut,
  type SignedIn,
  session,
  sessionEnded,
} from "../session/session";
import { announce } from "./announce";
import { problemText } from "./problems";

const online = signal(navigator.onLine);
addEventListener("online", () => {
  online.value = true;
});
addEventListener("offline", () => {
  online.value = false;
});

export function Banners() {
  const { path } = place.value;
  return (
    <div class="banners">
      {!online.value && <p role="status">{t("offline.banner")}</p>}
      {sessionEnded.value && !isForm(path) && (
        <p role="alert">
          {t("session.ended")} <a href={signPath(path)}>{t("menu.sign-in")}</a>
        </p>
      )}
      {session.value && <Ending known={session.value} />}
    </div>
  );
}

/** Only the shop's clock ends a session: this device's may be hours off. */
function Ending({ known }: { known: SignedIn }) {
  const left = useRemaining(known.expiresAtMs);
  const [failure, setFailure] = useState<string | null>(null);
  const exact = offset.value !== null;
  const over = left.totalS === 0;
  const soon = left.totalS * 1000 <= ENDING_BELOW_MS;
  const shown = exact && soon && !over;
  useEffect(() => {
    if (soon && !exact) void askTime();
  }, [soon, exact]);
  useEffect(() => {
    if (over && exact && serverNow() >= known.expiresAtMs) runOut();
  }, [over, exact, known]);
  useEffect(() => {
    if (shown) announce(t("session.ending", { time: clockText(left) }));
  }, [shown]);
  if (!shown) return null;
  const stay = () => renew().catch((error) => setFailure(problemText(problemOf(error))));
  return (
    <p>
      <span class="digits">{t("session.ending", { time: clockText(left) })}</span>{" "}
      <button type="button" class="button button-small" onClick={() => void stay()}>
        {t("session.stay")}
      </button>{" "}
      <span role="status">{failure}</span>
    </p>
  );
}
