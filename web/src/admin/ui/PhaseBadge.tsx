// A sale's phase, by word and colour.
import type { Phase } from "../server";
import { type Key, t } from "../text";

export function PhaseBadge({ phase }: { phase: Phase }) {
  return <span class={`badge phase-${phase}`}>{t(`phase.${phase}` as Key)}</span>;
}
