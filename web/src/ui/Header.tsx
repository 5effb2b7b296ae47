// The top of every page of the shop.
import { t } from "../i18n";
import { place } from "../router";
import { signPath } from "../session/afterwards";
import { user } from "../session/session";
import { Icon } from "./Icon";

export function Header() {
  const { path } = place.value;
  const here = (to: string) => (path === to ? "page" : undefined);
  return (
    <header class="top">
      <a class="skip" href="#content">
        {t("skip.content")}
      </a>
      <div class="top-inside">
        <a class="brand" href="/" aria-current={here("/")}>
          <span class="brand-mark">
            <Icon name="bolt" />
          </span>
          <span>
            Miaosha <span lang="zh-Hant">秒殺</span>
          </span>
        </a>
        <nav class="top-links" aria-label={t("shop")}>
          {user.value ? (
            <>
              {user.value.role === "admin" && <a href="/admin">{t("menu.admin")}</a>}
              <a href="/orders" aria-current={here("/orders")}>
                <Icon name="box" />
                <span class="wide">{t("menu.orders")}</span>
                <span class="visually-hidden narrow">{t("menu.orders")}</span>
              </a>
              <a href="/account" aria-current={here("/account")}>
                <Icon name="user" />
                <span class="wide">{user.value.name}</span>
                <span class="visually-hidden narrow">{t("menu.account")}</span>
              </a>
            </>
          ) : (
            <a class="button button-small button-quiet" href={signPath(path)}>
              {t("menu.sign-in")}
            </a>
          )}
        </nav>
      </div>
    </header>
  );
}
