// Light or dark: the system's choice unless the visitor makes one on this device.
import { signal } from "@preact/signals";
import { load, save } from "../session/storage";

export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

const KEY = "miaosha.theme";

export function isTheme(text: string | null): text is Theme {
  return THEMES.some((theme) => theme === text);
}

export const theme = signal<Theme>("system");

function show(wanted: Theme): void {
  theme.value = wanted;
  if (wanted === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = wanted;
}

export function chooseTheme(wanted: Theme): void {
  save(KEY, wanted === "system" ? null : wanted);
  show(wanted);
}

export function startTheme(): void {
  const stored = load(KEY);
  show(isTheme(stored) ? stored : "system");
}
