// Builds the pages into the Python package; `npm run dev` serves them beside a running platform.
import { defineConfig } from "vitest/config";

const platform = "http://localhost:8000";

export default defineConfig({
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
