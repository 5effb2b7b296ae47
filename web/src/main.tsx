// Starts the pages.
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/parts.css";
import "./styles/fields.css";
import "./styles/shell.css";
import "./styles/sale.css";
import "./styles/press.css";
import "./styles/place.css";
import "./styles/home.css";
import "./styles/pages.css";
import { render } from "preact";
import { App } from "./app";
import { startLanguage } from "./i18n/language";
import { startRouter } from "./router";
import { startSession } from "./session/session";
import { startForeign } from "./ui/foreign";
import { startTheme } from "./ui/theme";

async function start(): Promise<void> {
  const root = document.getElementById("app");
  if (!root) return;
  startForeign();
  startTheme();
  startSession();
  await startLanguage();
  startRouter();
  render(<App />, root);
  // a visit without a network still finds a page of ours; no more than that is cached
  if (import.meta.env.PROD) void navigator.serviceWorker?.register("/sw.js").catch(() => undefined);
}

void start();
