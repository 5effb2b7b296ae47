// The sales: running, next, past.
import { t } from "../i18n";

export function Home() {
  return (
    <main class="page">
      <h1>{t("shop")}</h1>
    </main>
  );
}
