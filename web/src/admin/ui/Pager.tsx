// Pager: the way to the next page of a list, or why it did not come.
import type { Pages } from "../../ui/usePages";
import { t } from "../text";
import { Loading, ProblemNote } from "./Note";

export function Pager<T>({ pages }: { pages: Pages<T> }) {
  return (
    <div class="pager">
      <ProblemNote problem={pages.problem} onRetry={pages.next} />
      {pages.busy && <Loading />}
      {pages.cursor !== null && !pages.busy && (
        <button type="button" class="button" onClick={pages.next}>
          {t("more")}
        </button>
      )}
    </div>
  );
}
