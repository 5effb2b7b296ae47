// Where the console's pages are.
import { useEffect, useRef } from "preact/hooks";
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
  const menu = useRef<HTMLElement>(null);
  // A phone shows the first few alone: bring the present one into sight.
  useEffect(() => {
    menu.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
  }, [at]);
  return (
    <nav class="console-nav" ref={menu} aria-label={t("nav.label")}>
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
