// Builds the page into app/api/page/. tests/unit/test_page_build.py checks without npm that what is committed there
// belongs to these sources: index.html holds the hash of the sources and the integrity of the other two files.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const HERE = dirname(fileURLToPath(import.meta.url));
const TARGET = join(HERE, "..", "app", "api", "page");

/** Every file that the build depends on, as paths with slashes, in the order of their code points. */
function sources(folder = HERE) {
  const entries = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.name !== "node_modules");
  const found = entries.flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? sources(path) : [relative(HERE, path).split(sep).join("/")];
  });
  return found.sort((a, b) => (a < b ? -1 : 1));
}

/** SHA-256 over each source's path, a NUL, its size in bytes, a NUL, and its bytes. */
function hashOfSources() {
  const hash = createHash("sha256");
  for (const path of sources()) {
    const bytes = readFileSync(join(HERE, path));
    hash.update(`${path}\0${bytes.length}\0`).update(bytes);
  }
  return hash.digest("hex");
}

/** The copyright lines of what is bundled, and the licence that they share: MIT asks to keep both with each copy. */
function notices(inputs) {
  const packages = new Set(inputs.map((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1]).filter(Boolean));
  let terms = "";
  const lines = [...packages].sort().map((name) => {
    const folder = join(HERE, "node_modules", name);
    const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    if (license !== "MIT") throw new Error(`${name} is under ${license}: see to its terms, then teach notices() them.`);
    const text = readFileSync(join(folder, "LICENSE"), "utf8");
    terms = text.slice(text.indexOf("Permission is hereby granted"));
    return `${name} ${version}: ${/^copyright.*$/im.exec(text)[0]}`;
  });
  return `/*!\n${lines.join("\n")}\n\n${terms.trim()}\n*/\n`;
}

const { outputFiles, metafile } = await build({
  absWorkingDir: HERE,
  entryPoints: { page: "src/main.ts", style: "src/page.css" },
  outdir: TARGET,
  bundle: true,
  minify: true,
  format: "esm",
  target: ["chrome123", "firefox120", "safari17.5"], // the first with light-dark()
  metafile: true,
  write: false,
});
const contents = (name) => outputFiles.find((file) => file.path.endsWith(name)).text;
const script = notices(Object.keys(metafile.inputs)) + contents("page.js");
const style = contents("style.css");
const integrity = (text) => `sha384-${createHash("sha384").update(text).digest("base64")}`;
const html = readFileSync(join(HERE, "index.html"), "utf8")
  .replace("{{sources}}", hashOfSources())
  .replace("{{script-integrity}}", integrity(script))
  .replace("{{style-integrity}}", integrity(style));

mkdirSync(TARGET, { recursive: true });
for (const [name, text] of Object.entries({ "page.js": script, "page.css": style, "index.html": html })) {
  writeFileSync(join(TARGET, name), text);
  console.log(`${name}: ${Buffer.byteLength(text)} bytes`);
}
