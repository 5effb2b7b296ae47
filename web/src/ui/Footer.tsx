// Language, colours, and the way to the API.
import { t } from "../i18n";
import { chooseLanguage, LANGUAGES, type Language, language } from "../i18n/language";
import { chooseTheme, isTheme, THEMES, theme } from "./theme";

export function Footer() {
  return (
    <footer class="bottom">
      <div class="bottom-inside">
        <label>
          <span class="visually-hidden">{t("menu.language")}</span>
          <select
            value={language.value}
            onChange={(event) => void chooseLanguage(event.currentTarget.value as Language)}
          >
            {Object.entries(LANGUAGES).map(([tag, name]) => (
              <option key={tag} value={tag} lang={tag}>
                {name}
              </option>
            ))}
          </select>
        </label>
        <label>
          <span class="visually-hidden">{t("menu.theme")}</span>
          <select
            value={theme.value}
            onChange={(event) => {
              const wanted = event.currentTarget.value;
              if (isTheme(wanted)) chooseTheme(wanted);
            }}
          >
            {THEMES.map((name) => (
              <option key={name} value={name}>
                {t(`theme.${name}`)}
              </option>
            ))}
          </select>
        </label>
        <a href="/api/docs" target="_blank" rel="noreferrer">
          {t("footer.api")}
        </a>
      </div>
    </footer>
  );
}
