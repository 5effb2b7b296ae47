// How the page hears of the sale: pushed, asked for, or not at all. Said as it is.
import { t } from "../../i18n";
import type { SaleFeed } from "../../live/feed";

export function ConnectionLine({ feed }: { feed: SaleFeed }) {
  const now = feed.connection.value;
  const short = now === "live" || now === "connecting";
  return (
    <span class={`connection connection-${now}`} role="status">
      <i class="connection-dot" aria-hidden="true" />
      <span class={short ? "small" : "small connection-words"}>{t(`connection.${now}`)}</span>
    </span>
  );
}
