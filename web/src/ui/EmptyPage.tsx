// Empty page: says why there is nothing to show, and leads on. It may be a part of a page.
import type { ComponentChildren } from "preact";
import { Icon, type IconName } from "./Icon";

interface Props {
  icon: IconName;
  title: string;
  text?: string;
  /** It is a part of a page that has a title of its own. */
  part?: boolean;
  /** Read out when it appears. */
  spoken?: boolean;
  children?: ComponentChildren;
}

export function EmptyPage({ icon, title, text, part, spoken, children }: Props) {
  const Title = part ? "h2" : "h1";
  return (
    <section class="empty" role={spoken ? "status" : undefined}>
      <span class="empty-sign">
        <Icon name={icon} />
      </span>
      <Title>{title}</Title>
      {text && <p>{text}</p>}
      {children}
    </section>
  );
}
