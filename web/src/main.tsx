// Starts the pages.
import "./styles/tokens.css";
import "./styles/base.css";
import { render } from "preact";
import { App } from "./app";
import { startLanguage } from "./i18n/language";
import { startRouter } from "./router";

async function start(): Promise<void> {
  const root = document.getElementById("app");
  if (!root) return;
  await startLanguage();
  startRouter();
  render(<App />, root);
}

void start();
