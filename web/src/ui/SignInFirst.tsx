// What a page shows that belongs to somebody, to nobody.
import { t } from "../i18n";
import { place } from "../router";
import { signPath } from "../session/afterwards";
import { EmptyPage } from "./EmptyPage";

export function SignInFirst({ title }: { title: string }) {
  return (
    <EmptyPage icon="user" title={title}>
      <a class="button" href={signPath(place.value.path)}>
        {t("menu.sign-in")}
      </a>
    </EmptyPage>
  );
}
