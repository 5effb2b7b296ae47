// A product's picture, or a plain sign in its place.
import { useState } from "preact/hooks";
import { Icon } from "./Icon";

export function Picture({ src, name, eager }: { src: string; name: string; eager?: boolean }) {
  const [broken, setBroken] = useState(false);
  return (
    <div class="picture">
      {src && !broken ? (
        <img
          src={src}
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
