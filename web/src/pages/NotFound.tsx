// An address that shows nothing.
import { t } from "../i18n";
import { EmptyPage } from "../ui/EmptyPage";
import { useTitle } from "../ui/useTitle";

export function NotFound() {
  useTitle(t("notfound.title"));
  return (
    <EmptyPage icon="bolt" title={t("notfound.title")} text={t("notfound.text")}>
      <a class="button" href="/">
        {t("notfound.home")}
      </a>
    </EmptyPage>
  );
}
