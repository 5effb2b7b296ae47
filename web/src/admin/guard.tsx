// Guard: asks before unsaved changes are left behind by a link, the back button, or closing the page.
import type { VNode } from "preact";
import { useEffect, useState } from "preact/hooks";
import { go, guardLeaving } from "../router";
import { t } from "./text";
import { Dialog } from "./ui/Dialog";

/** The question to render; null while there is none. `go` leaves without a question. */
export function useUnsaved(dirty: boolean): VNode | null {
  const [target, setTarget] = useState<string | null>(null);
  useEffect(() => (dirty ? guard(setTarget) : undefined), [dirty]);
  if (target === null) return null;
  return (
    <Dialog
      title={t("unsaved.title")}
      action={t("unsaved.leave")}
      danger
      onConfirm={async () => go(target)}
      onClose={() => setTarget(null)}
    >
      <p>{t("unsaved.why")}</p>
    </Dialog>
  );
}

/** `wants` is told where the visitor wants to go, and is kept from. */
function guard(wants: (to: string) => void): () => void {
  const closing = (event: BeforeUnloadEvent) => event.preventDefault();
  const stop = guardLeaving((to) => {
    wants(to);
    return false;
  });
  addEventListener("beforeunload", closing);
  return () => {
    stop();
    removeEventListener("beforeunload", closing);
  };
}
