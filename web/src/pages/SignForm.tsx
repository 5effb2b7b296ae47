// A form that ends in a session: it sends itself once, says what went wrong, and leads back to where
// its owner came from. SignIn and SignUp fill it.
import type { ComponentChildren, TargetedSubmitEvent } from "preact";
import { useState } from "preact/hooks";
import { type Problem, problemOf } from "../api/problem";
import { type Key, t } from "../i18n";
import { go, place } from "../router";
import { afterwards } from "../session/afterwards";
import { FormError } from "../ui/Field";
import type { Form } from "../ui/useForm";
import { useTitle } from "../ui/useTitle";

interface Props<N extends string> {
  form: Form<N>;
  name: Key;
  title: Key;
  button: Key;
  send: (values: Record<N, string>) => Promise<void>;
  /** What to say of a problem on top of the form; null: it stands beside its field. */
  failed: (problem: Problem) => string | null;
  /** The way to the other form. */
  other: { why: Key; path: string; link: Key };
  children: ComponentChildren;
}

export function SignForm<N extends string>(props: Props<N>) {
  const { form, send, failed, other } = props;
  useTitle(t(props.name));
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<string | null>(null);
  const query = place.value.query;
  const submit = async (event: TargetedSubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    if (busy || !form.good(event.currentTarget)) return;
    setBusy(true);
    setFailure(null);
    try {
      await send(form.values);
      go(afterwards(query), { replace: true });
    } catch (error) {
      setFailure(failed(problemOf(error)));
      setBusy(false);
    }
  };
  return (
    <form class="narrow-form panel" onSubmit={submit} noValidate>
      <h1>{t(props.title)}</h1>
      {failure && <FormError>{failure}</FormError>}
      {props.children}
      <button class="button button-wide" type="submit" disabled={busy}>
        {t(props.button)}
      </button>
      <p class="quiet">
        {t(other.why)} <a href={`${other.path}?${query}`}>{t(other.link)}</a>
      </p>
    </form>
  );
}
