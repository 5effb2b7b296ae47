// An address that shows nothing.
import { t } from "../i18n";
import { Icon } from "../ui/Icon";
import { useTitle } from "../ui/useTitle";

export function NotFound() {
  useTitle(t("notfound.title"));
  return (
    <section class="empty">
      <span class="empty-sign">
        <Icon name="bolt" />
      </span>
      <h1>{t("notfound.title")}</h1>
      <p>{t("notfound.text")}</p>
      <a class="button" href="/">
        {t("notfound.home")}
      </a>
    </section>
  );
}
