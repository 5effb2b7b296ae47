// A product's picture, or a plain sign in its place.
import { useState } from "preact/hooks";
import { Icon } from "./Icon";

interface Props {
  src: string;
  /** For a phone: the same picture, 640 pixels wide. */
  small?: string | undefined;
  name: string;
  eager?: boolean;
}

export function Picture({ src, small, name, eager }: Props) {
  const [broken, setBroken] = useState(false);
  return (
    <div class="picture">
      {src && !broken ? (
        <img
          src={src}
          srcset={small && small !== src ? `${small} 640w, ${src} 1600w` : undefined}
          sizes="(min-width: 56rem) 30rem, 100vw"
          alt={name}
          loading={eager ? "eager" : "lazy"}
          decoding="async"
          onError={() => setBroken(true)}
        />
      ) : (
        <span class="picture-none">
          <Icon name="bolt" />
        </span>
      )}
    </div>
  );
}
