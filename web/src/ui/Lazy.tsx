// A page whose code is loaded when it is first shown. If it does not come, the address is loaded anew:
// a browser may remember that the code failed, and a new version of the shop has it under other names.
import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Problem } from "../api/problem";
import { t } from "../i18n";
import { Trouble } from "./Trouble";

const reload = () => location.reload();

export function Lazy({ load }: { load: () => Promise<{ default: ComponentType }> }) {
  const [loaded, setLoaded] = useState<{ Page: ComponentType } | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  useEffect(() => {
    let here = true;
    load().then(
      ({ default: Page }) => here && setLoaded({ Page }),
      () => here && setProblem(new Problem("offline", 0, "The page's code did not come")),
    );
    return () => {
      here = false;
    };
  }, [load]);
  if (loaded) return <loaded.Page />;
  return (
    <main class="page" aria-busy={!problem}>
      {problem ? <Trouble problem={problem} again={reload} /> : <p class="quiet">{t("loading")}</p>}
    </main>
  );
}
