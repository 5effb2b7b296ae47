// Timer of a visible page: it rests while nobody sees the page.

/** Does `act` every `everyMs` while the page is visible; the returned function stops. */
export function whileVisible(everyMs: number, act: () => void): () => void {
  const timer = window.setInterval(() => {
    if (document.visibilityState === "visible") act();
  }, everyMs);
  return () => window.clearInterval(timer);
}
