// A page whose code is loaded when it is first shown.
import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { t } from "../i18n";

export function Lazy({ load }: { load: () => Promise<{ default: ComponentType }> }) {
  const [loaded, setLoaded] = useState<{ Page: ComponentType } | null>(null);
  useEffect(() => {
    let here = true;
    void load().then(({ default: Page }) => here && setLoaded({ Page }));
    return () => {
      here = false;
    };
  }, [load]);
  return loaded ? (
    <loaded.Page />
  ) : (
    <main class="page" aria-busy="true">
      <p class="quiet">{t("loading")}</p>
    </main>
  );
}
