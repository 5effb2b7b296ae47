// Asks before unsaved changes are left behind: by a link, the back button, or closing the page.
import type { VNode } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { go } from "../router";
import { t } from "./text";
import { Dialog } from "./ui/Dialog";

/** The question to render, null while there is none. `leave` goes on without asking. */
export function useUnsaved(dirty: boolean): {
  question: VNode | null;
  leave: (to: string) => void;
} {
  const [target, setTarget] = useState<string | null>(null);
  const guarding = useRef(dirty);
  guarding.current = dirty;
  useEffect(() => {
    const address = location.pathname + location.search;
    const clicked = (event: MouseEvent) => {
      if (!guarding.current || event.button || event.metaKey || event.ctrlKey || event.shiftKey)
        return;
      const link = (event.target as Element | null)?.closest?.("a[href]");
      if (!(link instanceof HTMLAnchorElement) || link.target || link.origin !== location.origin)
        return;
      event.preventDefault();
      event.stopPropagation();
      setTarget(link.pathname + link.search);
    };
    const back = (event: PopStateEvent) => {
      if (!guarding.current) return;
      event.stopImmediatePropagation(); // before the router hears of it
      const wanted = location.pathname + location.search;
      history.pushState(null, "", address);
      setTarget(wanted);
    };
    const closing = (event: BeforeUnloadEvent) => {
      if (guarding.current) event.preventDefault();
    };
    document.addEventListener("click", clicked, true);
    addEventListener("popstate", back, true);
    addEventListener("beforeunload", closing);
    return () => {
      document.removeEventListener("click", clicked, true);
      removeEventListener("popstate", back, true);
      removeEventListener("beforeunload", closing);
    };
  }, []);
  const leave = (to: string) => {
    guarding.current = false;
    go(to);
  };
  const question = target !== null && (
    <Dialog
      title={t("unsaved.title")}
      action={t("unsaved.leave")}
      danger
      onConfirm={async () => leave(target)}
      onClose={() => setTarget(null)}
    >
      <p>{t("unsaved.why")}</p>
    </Dialog>
  );
  return { question: question || null, leave };
}
