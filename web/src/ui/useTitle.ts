// The document's title follows the page.
import { useEffect } from "preact/hooks";

export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Miaosha 秒殺`;
  }, [title]);
}
