// The API's page: Swagger UI, as its package has it, on the document that the API serves. The shop
// loads none of this.
import "swagger-ui-dist/swagger-ui.css";
import bundle from "virtual:swagger-ui-url";
import "./docs.css";

declare const SwaggerUIBundle: (options: Record<string, unknown>) => void; // the script's global

const dark = matchMedia("(prefers-color-scheme: dark)");

function showScheme(): void {
  document.documentElement.classList.toggle("dark-mode", dark.matches);
}

dark.addEventListener("change", showScheme);
showScheme();

const script = document.createElement("script");
script.src = bundle;
script.addEventListener("load", () =>
  SwaggerUIBundle({
    dom_id: "#app",
    url: "/api/docs/openapi.json",
    validatorUrl: null, // it would send the document to a service
    plugins: [{ components: { ServersContainer: () => null } }], // there is one server, this one
  }),
);
document.head.append(script);
