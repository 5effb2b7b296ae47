// One polite voice for screen readers. What is said is said once; the same words again are silent
// until something else was said.
import { signal } from "@preact/signals";

const spoken = signal("");

export function announce(text: string): void {
  spoken.value = text;
}

export function Announcer() {
  return (
    <p class="visually-hidden" role="status" aria-live="polite">
      {spoken.value}
    </p>
  );
}
