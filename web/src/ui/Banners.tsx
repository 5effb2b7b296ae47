// What concerns every page: no network, a session that has ended or is about to.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { clockText } from "../clock/countdown";
import { serverNow } from "../clock/server";
import { useRemaining } from "../clock/useRemaining";
import { t } from "../i18n";
import { place } from "../router";
import { ENDING_BELOW_MS, renew, type SignedIn, session, sessionEnded } from "../session/session";

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
      {sessionEnded.value && !path.startsWith("/sign-") && (
        <p role="alert">
          {t("session.ended")}{" "}
          <a href={`/sign-in?next=${encodeURIComponent(path)}`}>{t("menu.sign-in")}</a>
        </p>
      )}
      {session.value && <Ending known={session.value} />}
    </div>
  );
}

function Ending({ known }: { known: SignedIn }) {
  const left = useRemaining(known.expiresAtMs);
  const over = left.totalS === 0;
  useEffect(() => {
    if (over && serverNow() >= known.expiresAtMs) {
      session.value = null;
      sessionEnded.value = true;
    }
  }, [over, known]);
  if (over || left.totalS * 1000 > ENDING_BELOW_MS) return null;
  return (
    <p>
      <span class="digits">{t("session.ending", { time: clockText(left) })}</span>{" "}
      <button
        type="button"
        class="button button-small"
        onClick={() => void renew().catch(() => undefined)}
      >
        {t("session.stay")}
      </button>
    </p>
  );
}
