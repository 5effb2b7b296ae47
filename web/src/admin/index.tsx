// The console of the people who run the sale: everything under /admin, loaded when first visited.
import "./styles/console.css";
import "./styles/parts.css";
import "./styles/forms.css";
import "./styles/room.css";
import "./styles/charts.css";
import "./styles/print.css";
import type { ComponentChild } from "preact";
import { prepared } from "../i18n/language";
import { match, place } from "../router";
import { userId } from "../session/session";
import { Announcer } from "../ui/announce";
import { Banners } from "../ui/Banners";
import { Footer } from "../ui/Footer";
import { Header } from "../ui/Header";
import { useTitle } from "../ui/useTitle";
import { Gate } from "./Gate";
import { Nav } from "./Nav";
import { OrderSearch } from "./orders/OrderSearch";
import { People } from "./people/People";
import { StoryPage } from "./people/Story";
import { ProductPage } from "./products/ProductPage";
import { Products } from "./products/Products";
import { ReportPage } from "./room/Report";
import { Room } from "./room/Room";
import { SaleEditor } from "./sales/SaleEditor";
import { Sales } from "./sales/Sales";
import { Parked } from "./support/Parked";
import { Trail } from "./support/Trail";
import { t } from "./text";
import { Empty } from "./ui/Note";

const ROUTES: [pattern: string, page: (id: number) => ComponentChild][] = [
  ["/admin", () => <Sales />],
  ["/admin/sales", () => <Sales />],
  ["/admin/sales/new", () => <SaleEditor key="new" id={null} />],
  ["/admin/sales/:id", (id) => <Room key={id} id={id} />],
  ["/admin/sales/:id/edit", (id) => <SaleEditor key={id} id={id} />],
  ["/admin/sales/:id/report", (id) => <ReportPage key={id} id={id} />],
  ["/admin/products", () => <Products />],
  ["/admin/products/new", () => <ProductPage key="new" id={null} />],
  ["/admin/products/:id", (id) => <ProductPage key={id} id={id} />],
  ["/admin/orders", () => <OrderSearch />],
  ["/admin/people", () => <People />],
  ["/admin/people/:id", (id) => <StoryPage key={id} id={id} />],
  ["/admin/parked", () => <Parked />],
  ["/admin/trail", () => <Trail />],
];

function page(path: string): ComponentChild {
  for (const [pattern, show] of ROUTES) {
    const found = match(pattern, path);
    if (!found) continue;
    const id = Number(found.id ?? "1");
    if (Number.isSafeInteger(id) && id > 0) return show(id);
  }
  return <Empty>{t("problem.not_found")}</Empty>;
}

await prepared(); // the console's texts, in the language the shop is shown in

export default function Admin() {
  const { path } = place.value;
  useTitle(t("nav.label"));
  return (
    <>
      <Header />
      <Banners />
      <div class="console">
        <Gate key={userId.value}>
          <Nav path={path} />
          <main class="console-page" id="content" tabIndex={-1}>
            {page(path)}
          </main>
        </Gate>
      </div>
      <Footer />
      <Announcer />
    </>
  );
}
