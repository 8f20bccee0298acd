// node build.mjs SOURCE WIT_FOLDER OUTPUT: makes a component of a JavaScript module.

import { writeFile } from "node:fs/promises";
import { componentize } from "@bytecodealliance/componentize-js";

const [sourcePath, witPath, output] = process.argv.slice(2);
const { component } = await componentize({
  sourcePath,
  witPath,
  worldName: "greeter",
  // A node offers no HTTP of WASI.
  disableFeatures: ["http", "fetch-event"],
});
await writeFile(output, component);
