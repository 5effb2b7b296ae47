// The shell around every page, and which page an address shows.
import { Home } from "./pages/Home";
import { match, place } from "./router";
import { Lazy } from "./ui/Lazy";

const admin = () => import("./admin");

export function App() {
  const { path } = place.value;
  if (path === "/admin" || path.startsWith("/admin/")) return <Lazy load={admin} />;
  if (match("/", path)) return <Home />;
  return <Home />;
}
