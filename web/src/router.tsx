// Addresses and pages: history without reloads. Links are ordinary <a href>, caught on the document.
import { signal } from "@preact/signals";

/** Where the visitor is: path, and query without "?". */
export const place = signal(here());

function here(): { path: string; query: string } {
  return { path: location.pathname, query: location.search.slice(1) };
}

/** Go to an address of ours; `replace` leaves no step back. */
export function go(to: string, options: { replace?: boolean } = {}): void {
  if (options.replace) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  place.value = here();
  scrollTo(0, 0);
}

/** The parameters if `path` fits `pattern` ("/sales/:id"), else null. */
export function match(pattern: string, path: string): Record<string, string> | null {
  const wanted = pattern.split("/");
  const given = path.replace(/(.)\/$/, "$1").split("/");
  if (wanted.length !== given.length) return null;
  const found: Record<string, string> = {};
  for (const [i, part] of wanted.entries()) {
    const text = given[i] ?? "";
    if (part.startsWith(":")) found[part.slice(1)] = text;
    else if (part !== text) return null;
  }
  return found;
}

function ours(event: MouseEvent): URL | null {
  if (event.defaultPrevented || event.button !== 0) return null;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return null;
  const link = (event.target as Element | null)?.closest?.("a[href]");
  if (!(link instanceof HTMLAnchorElement) || link.target || link.hasAttribute("download"))
    return null;
  const url = new URL(link.href);
  if (url.origin !== location.origin || /^\/(api|files|sandbox)\//.test(url.pathname)) return null;
  return url;
}

/** Follow links and the back button from now on. */
export function startRouter(): void {
  addEventListener("popstate", () => {
    place.value = here();
  });
  document.addEventListener("click", (event) => {
    const url = ours(event);
    if (!url || (url.hash && url.pathname === location.pathname)) return;
    event.preventDefault();
    go(url.pathname + url.search);
  });
}
