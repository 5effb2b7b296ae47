// The console of the people who run the sale: everything under /admin, loaded when first visited.
import { t } from "../i18n";

export default function Admin() {
  return (
    <main class="page">
      <h1>{t("admin.title")}</h1>
    </main>
  );
}
