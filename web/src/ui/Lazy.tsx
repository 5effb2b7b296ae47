// A page whose code is loaded when it is first shown. If it does not come, the address is loaded anew:
// a browser may remember that the code failed, and a new version of the shop has it under other names.
import type { ComponentType } from "preact";
import { Problem } from "../api/problem";
import { t } from "../i18n";
import { Trouble } from "./Trouble";
import { useLoad } from "./useLoad";

const reload = () => location.reload();

function missing(): never {
  throw new Problem("offline", 0, "The page's code did not come");
}

export function Lazy({ load }: { load: () => Promise<{ default: ComponentType }> }) {
  const { value, problem } = useLoad(() => load().catch(missing), load);
  if (value) return <value.default />;
  return (
    <main class="page" aria-busy={!problem}>
      {problem ? <Trouble problem={problem} again={reload} /> : <p class="quiet">{t("loading")}</p>}
    </main>
  );
}
