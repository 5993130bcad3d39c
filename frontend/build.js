// Builds the page and the API's documentation into app/api/page/. index.html holds a hash of the sources and of each
// built file, or of a file that holds that file's hash. With them tests/unit/test_page_build.py checks, without npm, that
// the committed files were built from these sources.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const HERE = dirname(fileURLToPath(import.meta.url));
const TARGET = join(HERE, "..", "app", "api", "page");

/** The paths of all files that the build depends on, with slashes, sorted by code points. */
function sources(folder = HERE) {
  const entries = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.name !== "node_modules");
  const found = entries.flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? sources(path) : [relative(HERE, path).split(sep).join("/")];
  });
  return found.sort((a, b) => (a < b ? -1 : 1));
}

/** The SHA-256, in hexadecimal, of each source's path, a NUL, its size in bytes, a NUL, and its bytes. */
function hashOfSources() {
  const hash = createHash("sha256");
  for (const path of sources()) {
    const bytes = readFileSync(join(HERE, path));
    hash.update(`${path}\0${bytes.length}\0`).update(bytes);
  }
  return hash.digest("hex");
}

/** The holders of each bundled package, and the MIT licence, which requires both in every copy. */
function notices(inputs) {
  const packages = new Set(inputs.map((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1]).filter(Boolean));
  let terms = "";
  const lines = [...packages].sort().map((name) => {
    const folder = join(HERE, "node_modules", name);
    const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    if (license !== "MIT") throw new Error(`${name} is under ${license}: read its terms, then add them to notices().`);
    const text = readFileSync(join(folder, "LICENSE"), "utf8");
    terms = text.slice(text.indexOf("Permission is hereby granted"));
    // Several holders are a list below the year.
    const holders = /^copyright[^]*?(?=\n\s*\n)/im.exec(text)[0].replace(/\s*\n[\s-]*/g, " ");
    return `${name} ${version}: ${holders}`;
  });
  return `/*!\n${lines.join("\n")}\n\n${terms.trim()}\n*/\n`;
}

const integrity = (text) => `sha384-${createHash("sha384").update(text).digest("base64")}`;

/** The documentation of the API as HTML, rendered by src/docs.tsx in this process. */
async function documentation(document, style) {
  const entryPoints = ["src/docs.tsx"];
  const options = { absWorkingDir: HERE, entryPoints, bundle: true, platform: "node", format: "esm", jsx: "automatic" };
  const { outputFiles } = await build({ ...options, jsxImportSource: "preact", write: false });
  const { page } = await import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`);
  return page(document, "docs.css", integrity(style));
}

const { outputFiles, metafile } = await build({
  absWorkingDir: HERE,
  entryPoints: { page: "src/main.ts", style: "src/page.css", docs: "src/docs.css" },
  outdir: TARGET,
  bundle: true,
  minify: true,
  format: "esm",
  splitting: true, // what only a room needs is loaded with the first one
  alias: { "lib0/dom": "./src/room/lib0-dom.ts" },
  target: ["chrome123", "firefox120", "safari17.5"], // the first with light-dark()
  metafile: true,
  write: false,
});
const contents = (name) => outputFiles.find((file) => file.path.endsWith(name)).text;
/** The scripts by their names: page.js, the chunk that it imports, and the one that it loads for a room. */
const scripts = Object.fromEntries(
  Object.entries(metafile.outputs)
    .filter(([path]) => path.endsWith(".js"))
    .map(([path, { inputs }]) => [basename(path), notices(Object.keys(inputs)) + contents(basename(path))]),
);
const [chunk, room, ...others] = ["chunk-", "room-", ""].flatMap((start) =>
  Object.keys(scripts).filter((name) => (start ? name.startsWith(start) : !/^(chunk-|room-|page\.js)/.test(name))),
);
if (!chunk || !room || others.length) throw new Error(`index.html must name each of ${Object.keys(scripts)}.`);
const style = contents("style.css");
const docsStyle = contents("docs.css");
const document = JSON.parse(readFileSync(join(HERE, "openapi.json"), "utf8"));
const docs = await documentation(document, docsStyle);
const html = readFileSync(join(HERE, "index.html"), "utf8")
  .replace("{{sources}}", hashOfSources())
  .replace("{{docs-integrity}}", integrity(docs))
  .replace("{{script-integrity}}", integrity(scripts["page.js"]))
  .replace("{{chunk}}", chunk)
  .replace("{{chunk-integrity}}", integrity(scripts[chunk]))
  .replace("{{room-integrity}}", integrity(scripts[room]))
  .replace("{{style-integrity}}", integrity(style));

rmSync(TARGET, { recursive: true, force: true });
mkdirSync(TARGET, { recursive: true });
const files = { ...scripts, "page.css": style, "index.html": html, "docs.html": docs, "docs.css": docsStyle };
for (const [name, text] of Object.entries({ ...files, "openapi.json": JSON.stringify(document) })) {
  writeFileSync(join(TARGET, name), text);
  console.log(`${name}: ${Buffer.byteLength(text)} bytes`);
}
