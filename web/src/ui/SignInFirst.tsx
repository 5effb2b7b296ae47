// What a page shows that belongs to somebody, to nobody.
import { t } from "../i18n";
import { place } from "../router";
import { Icon } from "./Icon";

export function SignInFirst({ title }: { title: string }) {
  return (
    <section class="empty">
      <span class="empty-sign">
        <Icon name="user" />
      </span>
      <h1>{title}</h1>
      <a class="button" href={`/sign-in?next=${encodeURIComponent(place.value.path)}`}>
        {t("menu.sign-in")}
      </a>
    </section>
  );
}
