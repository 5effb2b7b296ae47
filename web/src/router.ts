// Router: shows pages without loading them anew. Links are ordinary <a href>, caught on the document.
import { signal } from "@preact/signals";

/** Where the visitor is: path, and query without "?". */
export const place = signal(here());

/** Asked before a link or the back button leads away; false keeps the visitor. */
type MayLeave = (to: string) => boolean;

let mayLeave: MayLeave = () => true;

function here(): { path: string; query: string } {
  return { path: location.pathname, query: location.search.slice(1) };
}

function addressOf({ path, query }: { path: string; query: string }): string {
  return query ? `${path}?${query}` : path;
}

/** Go to an address of ours without asking; `replace` leaves no step back. */
export function go(to: string, options: { replace?: boolean } = {}): void {
  if (options.replace) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  place.value = here();
  scrollTo(0, 0);
}

/** From now on `asked` decides whether a visitor leaves; the returned function ends that. */
export function guardLeaving(asked: MayLeave): () => void {
  mayLeave = asked;
  return () => {
    mayLeave = () => true;
  };
}

/** The parameters if `path` fits `pattern` ("/sales/:id"), as they stand in the address; else null. */
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

/** Where a click leads if that is a page of ours; null: the browser sees to it. */
function target(event: MouseEvent): string | null {
  if (event.defaultPrevented || event.button !== 0) return null;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return null;
  const link = (event.target as Element | null)?.closest?.("a[href]");
  if (!(link instanceof HTMLAnchorElement) || link.target || link.hasAttribute("download"))
    return null;
  const url = new URL(link.href);
  if (url.origin !== location.origin || /^\/(api|files|sandbox)\//.test(url.pathname)) return null;
  if (url.hash && url.pathname === location.pathname) return null;
  return url.pathname + url.search;
}

function clicked(event: MouseEvent): void {
  const to = target(event);
  if (to === null) return;
  event.preventDefault();
  if (mayLeave(to)) go(to);
}

/** The browser has gone back or forth already: who may not leave is led here again. */
function moved(): void {
  const [from, to] = [addressOf(place.peek()), addressOf(here())];
  if (to === from) return; // to a part of this page
  if (mayLeave(to)) place.value = here();
  else history.pushState(null, "", from);
}

/** Follow links and the back button from now on. */
export function startRouter(): void {
  addEventListener("popstate", moved);
  document.addEventListener("click", clicked);
}
