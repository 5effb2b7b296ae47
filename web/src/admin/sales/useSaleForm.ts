// Sale form: saves and publishes a draft, and overwrites nobody's changes unasked.
import type { RefObject } from "preact";
import { useRef, useState } from "preact/hooks";
import { type Problem, problemOf } from "../../api/problem";
import { go } from "../../router";
import { type AdminSale, server } from "../server";
import { inWords, t } from "../text";
import { problemText } from "../ui/Note";
import { type Drafting, useDraft } from "../ui/useDraft";
import { type Draft, draftOf, fieldOf, read } from "./form";

export interface SaleFormState extends Drafting<Draft> {
  form: RefObject<HTMLFormElement | null>;
  /** The sale as it was last read or saved: whose fields nobody has touched. */
  own: AdminSale | null;
  submit: (event: Event) => Promise<void>;
  publish: () => Promise<void>;
  /** Somebody else has saved the draft: take that, or save ours over it. */
  takeTheirs: (id: number) => Promise<void>;
  saveMine: () => Promise<void>;
}

export function useSaleForm(sale: AdminSale | null): SaleFormState {
  const { save, setOwn, ...saving } = useSaving(sale);
  const { version, setTold, setOvertaken } = saving;
  /** The draft, if nobody has changed it since this form began. */
  const untouched = async (id: number): Promise<AdminSale | null> => {
    const now = await server.sale(id);
    setOvertaken(now.version !== version.current);
    return now.version === version.current ? now : null;
  };
  const submit = async (event: Event) => {
    event.preventDefault();
    const made = await save();
    if (made && !sale) go(`/admin/sales/${made.id}/edit`);
    else if (made) setTold(t("saved"));
  };
  const publish = async () => {
    const made = saving.dirty || !sale ? await save() : await untouched(sale.id);
    if (!made) return; // the dialog closes on what is wrong in the form
    await server.steer(made.id, "publish");
    go(`/admin/sales/${made.id}`);
  };
  const takeTheirs = async (id: number) => {
    const now = await server.sale(id);
    if (now.stored_phase !== "draft") return go(`/admin/sales/${id}`);
    setOwn(now);
    saving.replace(draftOf(now, Date.now()), now.version);
  };
  const saveMine = async () => {
    version.current = null;
    if (await save()) setTold(t("saved"));
  };
  return { ...saving, submit, publish, takeTheirs, saveMine };
}

/** The draft, and `save`: the sale once saved, or null if something is wrong, which the form shows. */
function useSaving(sale: AdminSale | null) {
  const [own, setOwn] = useState(sale);
  const form = useRef<HTMLFormElement>(null);
  const drafting = useDraft(() => draftOf(sale, Date.now()), sale?.version ?? null);
  const { draft, version } = drafting;
  const showErrors = (found: Record<string, string>): null => {
    drafting.setErrors(found);
    requestAnimationFrame(() => focusFirstWrong(form.current));
    return null;
  };
  const failed = (problem: Problem): null => {
    if (problem.field !== "version")
      return showErrors({ [fieldOf(problem.field)]: problemText(problem) });
    drafting.setOvertaken(true);
    return null;
  };
  const save = async (): Promise<AdminSale | null> => {
    const result = read(draft, own);
    if ("errors" in result) return showErrors(inWords(result.errors));
    try {
      const made = sale
        ? await server.updateSale(sale.id, { ...result.body, version: version.current })
        : await server.createSale({ ...result.body, publish: false });
      setOwn(made);
      drafting.saved(draft, made.version);
      return made;
    } catch (error) {
      return failed(problemOf(error));
    }
  };
  return { ...drafting, form, own, setOwn, save };
}

function focusFirstWrong(form: HTMLFormElement | null): void {
  form?.querySelector<HTMLElement>("[aria-invalid=true]")?.focus();
}
