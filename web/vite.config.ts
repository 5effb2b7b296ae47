// Builds the pages into the Python package; `npm run dev` serves them beside a running platform.
import { readFileSync } from "node:fs";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

const platform = "http://localhost:8000";
const swagger = "node_modules/swagger-ui-dist/swagger-ui-bundle.js";

// The address of Swagger UI's script, as a module. Vite's own `?url` cannot read below a directory
// with a # or ? in its name.
function swaggerUrl(): Plugin {
  const id = "virtual:swagger-ui-url";
  let dev = false;
  return {
    name: "swagger-ui-url",
    configResolved: (config) => {
      dev = config.command === "serve";
    },
    resolveId: (source) => (source === id ? `\0${id}` : null),
    load(loaded) {
      if (loaded !== `\0${id}`) return null;
      if (dev) return `export default "/${swagger}"`;
      const source = readFileSync(swagger);
      const file = this.emitFile({ type: "asset", name: "swagger-ui-bundle.js", source });
      return `export default import.meta.ROLLUP_FILE_URL_${file}`;
    },
  };
}

export default defineConfig({
  plugins: [swaggerUrl()],
  build: {
    outDir: "../src/miaosha/web",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0, // the content security policy allows no inline script or style
    modulePreload: { polyfill: false },
    rolldownOptions: { input: ["index.html", "docs.html"] }, // the shop, and the API's page
    license: { fileName: "licenses.md" }, // of the packages in the pages
  },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  server: {
    proxy: {
      "/api": platform,
      "/files": platform,
      "/sandbox": platform,
      "/socket.io": { target: platform, ws: true },
    },
  },
  test: { include: ["test/**/*.test.ts"] },
});
