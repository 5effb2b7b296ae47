// Who is signed in, where parcels go, and the way out.
import { t } from "../i18n";
import { go } from "../router";
import { signOut, user } from "../session/session";
import { DeliveryForm } from "../ui/DeliveryForm";
import { SignInFirst } from "../ui/SignInFirst";
import { useTitle } from "../ui/useTitle";

export function Account() {
  useTitle(t("account.title"));
  if (!user.value) return <SignInFirst title={t("account.title")} />;
  const leave = () => {
    signOut();
    go("/");
  };
  return (
    <div class="narrow-form">
      <h1>{user.value.name}</h1>
      <p class="quiet">{t("account.signed-in", { email: user.value.email })}</p>
      <section class="panel">
        <DeliveryForm />
      </section>
      <a class="button button-quiet button-wide" href="/orders">
        {t("menu.orders")}
      </a>
      <button type="button" class="button button-quiet button-wide" onClick={leave}>
        {t("menu.sign-out")}
      </button>
    </div>
  );
}
