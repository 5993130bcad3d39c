// Makes a lock with npm's resolver, in an empty folder: `node npm_lock.js FOLDER REGISTRY`, with the wanted ranges by
// name on stdin. Both are JSON. It opens no archive and runs nothing of a package. What is not in the registry, such as a
// URL, is refused.
const { readFileSync, writeFileSync } = require("node:fs");
const Arborist = require("@npmcli/arborist");

const [path, registry] = process.argv.slice(2);
writeFileSync(`${path}/package.json`, `{"dependencies": ${readFileSync(0)}}`);
const none = { allowGit: "none", allowRemote: "none", allowFile: "none", allowDirectory: "none" };

function locked(node) {
  return {
    place: node.location,
    name: node.packageName,
    version: node.version,
    url: node.resolved,
    integrity: node.integrity,
    scripts: Boolean(node.hasInstallScript),
    optional: node.optional,
    shrinkwrap: Boolean(node.hasShrinkwrap),
  };
}

// The sentence that npm prints about two packages that need different versions of a third.
function conflict({ edge, current }) {
  const { name, version } = edge.from ?? {};
  return `${name}@${version} needs ${edge.name}@${edge.spec}, and ${current?.name}@${current?.version} is there.`;
}

new Arborist({ path, registry, cache: `${path}/cache`, fetchRetries: 1, ...none }).buildIdealTree().then(
  (tree) => console.log(JSON.stringify([...tree.inventory.values()].filter((it) => !it.isRoot && !it.inert).map(locked))),
  (error) => {
    const { code, message, required } = error;
    const reason = code === "ERESOLVE" && error.edge ? conflict(error) : message;
    console.log(JSON.stringify({ code, reason, package: error.pkgid ?? error.package, required }));
    process.exitCode = 1;
  },
);
