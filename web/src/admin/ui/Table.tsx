// A table that scrolls by itself on a narrow screen, by keyboard too, and never widens the page.
import type { ComponentChildren } from "preact";

interface Props {
  caption: string;
  head: string[];
  /** Columns of numbers, by index. */
  numeric?: number[];
  children: ComponentChildren;
}

export function Table({ caption, head, numeric = [], children }: Props) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
    <section class="table-box" aria-label={caption} tabIndex={0}>
      <table>
        <caption class="visually-hidden">{caption}</caption>
        <thead>
          <tr>
            {head.map((text, i) => (
              <th key={text} scope="col" class={numeric.includes(i) ? "number" : ""}>
                {text}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </section>
  );
}
