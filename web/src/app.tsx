// The shell around every page, and which page an address shows.
import { useEffect, useRef } from "preact/hooks";
import { Account } from "./pages/Account";
import { Home } from "./pages/Home";
import { NotFound } from "./pages/NotFound";
import { OrderPage } from "./pages/Order";
import { Orders } from "./pages/Orders";
import { SignIn } from "./pages/SignIn";
import { SignUp } from "./pages/SignUp";
import { SalePage } from "./pages/sale/SalePage";
import { match, place } from "./router";
import { Announcer } from "./ui/announce";
import { Banners } from "./ui/Banners";
import { Footer } from "./ui/Footer";
import { Header } from "./ui/Header";
import { Lazy } from "./ui/Lazy";

const admin = () => import("./admin");

export function App() {
  const { path } = place.value;
  useFocusOn(path);
  if (path === "/admin" || path.startsWith("/admin/")) return <Lazy load={admin} />;
  return (
    <>
      <Header />
      <Banners />
      <main class="page" id="content" tabIndex={-1}>
        {page(path)}
      </main>
      <Footer />
      <Announcer />
    </>
  );
}

/** Another page begins at its content, as one that was loaded would. */
function useFocusOn(path: string): void {
  const before = useRef(path);
  useEffect(() => {
    if (before.current === path) return;
    before.current = path;
    document.getElementById("content")?.focus({ preventScroll: true });
  }, [path]);
}

function page(path: string) {
  const sale = match("/sales/:id", path)?.id;
  if (sale && /^\d{1,15}$/.test(sale)) return <SalePage key={sale} saleId={Number(sale)} />;
  const order = match("/orders/:id", path)?.id;
  if (order) return <OrderPage key={order} orderId={order} />;
  if (match("/", path)) return <Home />;
  if (match("/orders", path)) return <Orders />;
  if (match("/account", path)) return <Account />;
  if (match("/sign-in", path)) return <SignIn />;
  if (match("/sign-up", path)) return <SignUp />;
  return <NotFound />;
}
