// Way back: the page of this shop that signing in leads to, named in the address of the form.

/** The address of a form that leads to `path` afterwards. */
export function signPath(path: string, form: "/sign-in" | "/sign-up" = "/sign-in"): string {
  return `${form}?next=${encodeURIComponent(isForm(path) ? "/" : path)}`;
}

/** Whether `path` is one of the two forms itself. */
export function isForm(path: string): boolean {
  return path.startsWith("/sign-");
}

/** The path in `next=`, or the front page; never another site. */
export function afterwards(query: string): string {
  const wanted = new URLSearchParams(query).get("next") ?? "/";
  const url = new URL(wanted, location.origin);
  const ours = wanted.startsWith("/") && url.origin === location.origin;
  return ours ? url.pathname + url.search : "/";
}
