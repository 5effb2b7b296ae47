// Make an account; its owner is signed in at once.
import type { TargetedSubmitEvent } from "preact";
import { useState } from "preact/hooks";
import { problemOf } from "../api/problem";
import { t } from "../i18n";
import { go, place } from "../router";
import { afterwards } from "../session/afterwards";
import { signUp } from "../session/session";
import { Field, FormError } from "../ui/Field";
import { problemText } from "../ui/problems";
import { useForm } from "../ui/useForm";
import { useTitle } from "../ui/useTitle";
import { email, newPassword, required } from "../ui/validation";

export function SignUp() {
  useTitle(t("menu.sign-up"));
  const form = useForm(
    { name: "", email: "", password: "" },
    { name: required, email, password: newPassword },
  );
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<string | null>(null);
  const query = place.value.query;
  const send = async (event: TargetedSubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    if (busy || !form.good(event.currentTarget)) return;
    setBusy(true);
    setFailure(null);
    try {
      const { name, email: address, password } = form.values;
      await signUp(name.trim(), address.trim(), password);
      go(afterwards(query), { replace: true });
    } catch (error) {
      const problem = problemOf(error);
      if (problem.field === "password") form.wrong("password", t("error.password.common"));
      else if (problem.field) form.wrong(problem.field, t("error.server"));
      else setFailure(problem.code === "email_taken" ? t("signup.taken") : problemText(problem));
      setBusy(false);
    }
  };
  return (
    <form class="narrow-form panel" onSubmit={send} noValidate>
      <h1>{t("signup.title")}</h1>
      {failure && <FormError>{failure}</FormError>}
      <Field label="field.name" autocomplete="name" maxLength={80} {...form.field("name")} />
      <Field label="field.email" type="email" autocomplete="email" {...form.field("email")} />
      <Field
        label="field.password"
        hint="field.password.hint"
        type="password"
        autocomplete="new-password"
        maxLength={128}
        {...form.field("password")}
      />
      <button class="button button-wide" type="submit" disabled={busy}>
        {t("signup.button")}
      </button>
      <p class="quiet">
        {t("signup.known")} <a href={`/sign-in?${query}`}>{t("menu.sign-in")}</a>
      </p>
    </form>
  );
}
