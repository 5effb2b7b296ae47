// Where to go after signing in: a page of this shop, named in the address.

/** The path in `next=`, or the front page; never another site. */
export function afterwards(query: string): string {
  const wanted = new URLSearchParams(query).get("next") ?? "/";
  const url = new URL(wanted, location.origin);
  const ours = wanted.startsWith("/") && url.origin === location.origin;
  return ours ? url.pathname + url.search : "/";
}
