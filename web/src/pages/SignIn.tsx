// Sign in.
import { t } from "../i18n";
import { sessionEnded, signIn } from "../session/session";
import { Field } from "../ui/Field";
import { problemText } from "../ui/problems";
import { emailAddress } from "../ui/typed";
import { useForm } from "../ui/useForm";
import { email, required } from "../ui/validation";
import { SignForm } from "./SignForm";

export function SignIn() {
  const form = useForm({ email: "", password: "" }, { email, password: required });
  return (
    <SignForm
      form={form}
      name="menu.sign-in"
      title="signin.title"
      button="signin.button"
      send={({ email: address, password }) => signIn(emailAddress(address), password)}
      failed={(problem) =>
        problem.code === "bad_credentials" ? t("signin.wrong") : problemText(problem)
      }
      other={{ why: "signin.new", path: "/sign-up", link: "menu.sign-up" }}
    >
      {sessionEnded.value && <p class="notice notice-info">{t("session.ended")}</p>}
      <Field label="field.email" inputMode="email" autocomplete="email" {...form.field("email")} />
      <Field
        label="field.password"
        type="password"
        autocomplete="current-password"
        maxLength={1000}
        {...form.field("password")}
      />
    </SignForm>
  );
}
