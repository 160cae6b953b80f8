// What the page loads of onnxruntime-web, copied beside it: its module and the WebAssembly for processors.
import { cpSync } from "node:fs";

for (const name of ["ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"]) {
  cpSync(new URL(`node_modules/onnxruntime-web/dist/${name}`, import.meta.url), new URL(`ort/${name}`, import.meta.url));
}
