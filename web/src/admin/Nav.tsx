// Where the console's pages are.
import { type Key, t } from "./text";

const PLACES: [href: string, key: Key][] = [
  ["/admin/sales", "nav.sales"],
  ["/admin/products", "nav.products"],
  ["/admin/orders", "nav.orders"],
  ["/admin/people", "nav.people"],
  ["/admin/parked", "nav.parked"],
  ["/admin/trail", "nav.trail"],
];

export function Nav({ path }: { path: string }) {
  const at = path === "/admin" ? "/admin/sales" : path;
  return (
    <nav class="console-nav" aria-label={t("nav.label")}>
      <ul>
        {PLACES.map(([href, key]) => (
          <li key={href}>
            <a href={href} aria-current={at.startsWith(href) ? "page" : undefined}>
              {t(key)}
            </a>
          </li>
        ))}
      </ul>
    </nav>
  );
}
