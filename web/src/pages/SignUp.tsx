// Make an account; its owner is signed in at once.
import type { Problem } from "../api/problem";
import { t } from "../i18n";
import { signUp } from "../session/session";
import { Field } from "../ui/Field";
import { problemText } from "../ui/problems";
import { emailAddress } from "../ui/typed";
import { useForm } from "../ui/useForm";
import { email, newPassword, required } from "../ui/validation";
import { SignForm } from "./SignForm";

export function SignUp() {
  const form = useForm(
    { name: "", email: "", password: "" },
    { name: required, email, password: newPassword },
  );
  const failed = (problem: Problem): string | null => {
    if (problem.code === "email_taken") return t("signup.taken");
    if (!problem.field) return problemText(problem);
    const common = problem.field === "password";
    form.wrong(problem.field, t(common ? "error.password.common" : "error.server"));
    return null;
  };
  return (
    <SignForm
      form={form}
      name="menu.sign-up"
      title="signup.title"
      button="signup.button"
      send={({ name, email: address, password }) =>
        signUp(name.trim(), emailAddress(address), password)
      }
      failed={failed}
      other={{ why: "signup.known", path: "/sign-in", link: "menu.sign-in" }}
    >
      <Field label="field.name" autocomplete="name" maxLength={80} {...form.field("name")} />
      <Field label="field.email" inputMode="email" autocomplete="email" {...form.field("email")} />
      <Field
        label="field.password"
        hint="field.password.hint"
        type="password"
        autocomplete="new-password"
        maxLength={1000}
        {...form.field("password")}
      />
    </SignForm>
  );
}
