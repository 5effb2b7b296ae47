// Sign in.
import type { TargetedSubmitEvent } from "preact";
import { useState } from "preact/hooks";
import { problemOf } from "../api/problem";
import { t } from "../i18n";
import { go, place } from "../router";
import { afterwards } from "../session/afterwards";
import { sessionEnded, signIn } from "../session/session";
import { Field, FormError } from "../ui/Field";
import { problemText } from "../ui/problems";
import { useForm } from "../ui/useForm";
import { useTitle } from "../ui/useTitle";
import { email, required } from "../ui/validation";

export function SignIn() {
  useTitle(t("menu.sign-in"));
  const form = useForm({ email: "", password: "" }, { email, password: required });
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<string | null>(null);
  const query = place.value.query;
  const send = async (event: TargetedSubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    if (busy || !form.good(event.currentTarget)) return;
    setBusy(true);
    try {
      await signIn(form.values.email.trim(), form.values.password);
      go(afterwards(query), { replace: true });
    } catch (error) {
      const problem = problemOf(error);
      const wrong = problem.code === "bad_credentials";
      setFailure(wrong ? t("signin.wrong") : problemText(problem));
      setBusy(false);
    }
  };
  return (
    <form class="narrow-form panel" onSubmit={send} noValidate>
      <h1>{t("signin.title")}</h1>
      {sessionEnded.value && <p class="notice notice-info">{t("session.ended")}</p>}
      {failure && <FormError>{failure}</FormError>}
      <Field label="field.email" type="email" autocomplete="email" {...form.field("email")} />
      <Field
        label="field.password"
        type="password"
        autocomplete="current-password"
        maxLength={128}
        {...form.field("password")}
      />
      <button class="button button-wide" type="submit" disabled={busy}>
        {t("signin.button")}
      </button>
      <p class="quiet">
        {t("signin.new")} <a href={`/sign-up?${query}`}>{t("menu.sign-up")}</a>
      </p>
    </form>
  );
}
