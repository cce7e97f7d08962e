import { defaultClientConditions, defineConfig } from "vite";

/** Relative addresses, so that a site may stand in any folder; names without digests, because the
 *  service worker's list says which version a file is of. */
export default defineConfig({
  base: "./",
  // The runtime's own files stay beside the page: it is told where they are.
  resolve: { conditions: ["onnxruntime-web-use-extern-wasm", ...defaultClientConditions] },
  worker: {
    format: "es",
    rollupOptions: { output: { entryFileNames: "assets/[name].js" } },
  },
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rollupOptions: {
      output: {
        entryFileNames: "assets/[name].js",
        chunkFileNames: "assets/[name].js",
        assetFileNames: "assets/[name][extname]",
      },
    },
  },
});
