import { defineConfig } from "vite";

export default defineConfig({
  base: "./", // the service may answer below a prefix
  build: {
    target: "es2022",
    cssTarget: ["chrome123", "firefox121", "safari17.5"], // they know light-dark()
    chunkSizeWarningLimit: 900,
    assetsInlineLimit: 0, // the page's policy allows scripts as files only
    modulePreload: { polyfill: false },
  },
  server: { proxy: { "/v1": { target: "http://127.0.0.1:8000", ws: true }, "/healthz": "http://127.0.0.1:8000" } },
});
