/** The page: the visitor picks an environment and a program, and the panel runs it. */

import { type Environment, type Environments, Refused, environments } from "./api";
import { byId } from "./dom";
import { Editor } from "./editor";
import { type Example, examplesOf } from "./examples";
import { RunPanel } from "./panel";
import { fromFragment, toFragment } from "./share";
import * as words from "./words";

/** Seconds between attempts to load the environments, if the answer has no Retry-After. */
const RELOAD = 5;

/** Index of the entry in the list of examples that stands for the visitor's own code. It can't be selected. */
const YOUR_CODE = 0;

const panel = new RunPanel();
const editor = new Editor(byId("editor", HTMLElement), () => (exampleSelect.selectedIndex = YOUR_CODE));
const environmentSelect = byId("environment", HTMLSelectElement);
const exampleSelect = byId("example", HTMLSelectElement);
const stdin = byId("stdin", HTMLTextAreaElement);
const runButton = byId("run", HTMLButtonElement);
const shareButton = byId("share", HTMLButtonElement);

const served = await load();
/** The last code in each environment, by name, so that switching environments loses nothing. */
const drafts = new Map<string, Example>();
let current = named(served.environments[0]?.name ?? "");

async function load(): Promise<Environments> {
  for (;;) {
    try {
      return await environments();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      panel.refuse(error);
      await new Promise((resolve) => setTimeout(resolve, (error.problem.retry_after ?? RELOAD) * 1000));
    }
  }
}

/** The environment with this name. Throws if it is not served. */
function named(name: string): Environment {
  const found = served.environments.find((each) => each.name === name);
  if (!found) throw new Error(`The environment ${name} isn't served here.`);
  return found;
}

function packagesOf(environment: Environment): string {
  const packages = environment.packages.map(({ name, version }) => `${name} ${version}`);
  return packages.length ? `With ${packages.join(", ")}.` : "With its standard library.";
}

function setStdin(text: string): void {
  stdin.value = text;
  const box = stdin.closest("details");
  if (box) box.open = text !== "";
}

function open(environment: Environment, program: Example): void {
  current = environment;
  environmentSelect.value = environment.name;
  const examples = examplesOf(environment);
  const yours = new Option("Your code", "");
  yours.hidden = yours.disabled = true;
  exampleSelect.replaceChildren(yours, ...examples.map(({ title }) => new Option(title, title)));
  exampleSelect.selectedIndex = examples.findIndex(({ code }) => code === program.code) + 1;
  byId("packages", HTMLElement).textContent = packagesOf(environment);
  editor.open(program.code, environment);
  setStdin(program.stdin ?? "");
}

function first(environment: Environment): Example {
  return examplesOf(environment)[0] ?? { title: "Empty", code: "" };
}

/** Open the program in the fragment of the URL. Returns whether there was one, damaged or not. */
async function openShared(): Promise<boolean> {
  try {
    const program = await fromFragment(location.hash);
    if (!program) return false;
    const known = served.environments.some(({ name }) => name === program.environment);
    open(known ? named(program.environment) : current, { title: "Shared", ...program });
    if (known) panel.say("idle", "Opened from a link. Read it, then run it.");
    else panel.say("bad", `This link is for the environment ${program.environment}, which isn't served here.`);
    return true;
  } catch (error) {
    panel.say("bad", (error as Error).message);
    return false;
  }
}

async function share(): Promise<void> {
  const fragment = await toFragment({ environment: current.name, code: editor.code, stdin: stdin.value });
  history.replaceState(null, "", fragment);
  try {
    await navigator.clipboard.writeText(location.href);
    panel.say("idle", "The link is copied, and in the address bar. The program is in the link itself.");
  } catch {
    panel.say("idle", "The link is in the address bar. The program is in the link itself.");
  }
}

function run(): void {
  void panel.run({ environment: current.name, code: editor.code, stdin: stdin.value, results: ["*"] });
}

runButton.addEventListener("click", run);
shareButton.addEventListener("click", () => void share());
environmentSelect.addEventListener("change", () => {
  drafts.set(current.name, { title: "Draft", code: editor.code, stdin: stdin.value });
  const chosen = named(environmentSelect.value);
  open(chosen, drafts.get(chosen.name) ?? first(chosen));
});
exampleSelect.addEventListener("change", () => {
  const chosen = exampleSelect.selectedIndex;
  const example = examplesOf(current)[chosen - 1];
  if (!example) return;
  editor.replace(example.code);
  exampleSelect.selectedIndex = chosen;
  setStdin(example.stdin ?? "");
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    run();
  } else if (event.key === "Escape") panel.stop();
});
addEventListener("hashchange", () => void openShared());

environmentSelect.replaceChildren(
  ...served.environments.map(({ name, version }) => new Option(`${name} ${version}`, name)),
);
byId("limits", HTMLElement).textContent = words.limits(served.limits);
panel.say("idle", "Ready");
if (!(await openShared())) open(current, first(current));
for (const control of [environmentSelect, exampleSelect, runButton, shareButton]) control.disabled = false;
editor.focus();
