/** The program on the page: its environment, files, input and packages. */

import type { EditorState, Extension } from "@codemirror/state";
import type { Environment, Environments, PackageRules } from "./api";
import { byId } from "./dom";
import { Editor } from "./editor";
import { examplesOf } from "./examples";
import type { Program } from "./share";
import { OwnSources, type Sources } from "./sources";
import { Tabs } from "./tabs";
import * as words from "./words";

/** Index of the entry in the list of examples that stands for the visitor's own code. It can't be selected. */
const YOUR_CODE = 0;

export class Workbench {
  readonly stdin = byId("stdin", HTMLTextAreaElement);
  readonly tabs: Tabs;
  /** The last program in each environment, by name, so that switching environments loses nothing. */
  private readonly drafts = new Map<string, Program>();
  private readonly environmentSelect = byId("environment", HTMLSelectElement);
  private readonly exampleSelect = byId("example", HTMLSelectElement);
  private readonly packages = byId("packages", HTMLInputElement);
  private readonly editor: Editor;
  private environment: Environment;

  /** `chosen` is called when the visitor has chosen another environment. */
  constructor(
    private readonly served: Environments,
    chosen: (environment: Environment) => void,
  ) {
    this.editor = new Editor(byId("editor", HTMLElement), () => (this.exampleSelect.selectedIndex = YOUR_CODE));
    this.tabs = new Tabs(this.editor);
    this.environment = this.named(served.environments[0]?.name ?? "");
    this.environmentSelect.replaceChildren(
      ...served.environments.map(({ name, version }) => new Option(`${name} ${version}`, name)),
    );
    this.environmentSelect.addEventListener("change", () => chosen(this.named(this.environmentSelect.value)));
    this.exampleSelect.addEventListener("change", () => this.takeExample());
  }

  /** The environment with this name. Throws if it is not served. */
  named(name: string): Environment {
    const found = this.served.environments.find((each) => each.name === name);
    if (!found) throw new Error(`The environment ${name} isn't served here.`);
    return found;
  }

  /** The name of the file that runs in an environment, which may not be served. */
  mainOf(environment: string): string {
    return this.served.environments.find(({ name }) => name === environment)?.main ?? "main";
  }

  get program(): Program {
    const { name } = this.environment;
    return { environment: name, files: this.tabs.files, stdin: this.stdin.value, packages: this.packages.value };
  }

  /** The packages in the field. A comma or a blank stands between two; `requests >= 2.32, < 3` is one. */
  get wanted(): readonly string[] {
    if (!this.rulesOf(this.environment)) return [];
    const closed = this.packages.value.trim().replace(/\s*([<>=!~]=?=?)\s*/g, "$1").replace(/\s*,(?=[<>=!~])/g, ",");
    return closed.split(/[\s,]+(?![<>=!~])/).filter(Boolean);
  }

  /** Show a program. An environment that is not served is replaced by the current one. */
  open(program: Program): void {
    this.environment = this.served.environments.find(({ name }) => name === program.environment) ?? this.environment;
    this.packages.value = program.packages;
    this.setStdin(program.stdin);
    this.adopt(this.environment.name, new OwnSources(program.files, (file, content) => this.made(file, content)));
  }

  /** Show the visitor's last program in an environment, or its first example. */
  switchTo(environment: Environment): void {
    this.drafts.set(this.environment.name, this.program);
    this.open(this.drafts.get(environment.name) ?? this.first(environment));
  }

  first(environment = this.environment): Program {
    const { code, stdin } = examplesOf(environment)[0] ?? { code: "" };
    const files = [{ name: environment.main, content: code }];
    return { environment: environment.name, files, stdin: stdin ?? "", packages: "" };
  }

  /** Show these files in an environment. */
  adopt(environment: string, sources: Sources): void {
    this.environment = this.named(environment);
    this.environmentSelect.value = environment;
    const examples = examplesOf(this.environment);
    const yours = new Option("Your code", "");
    yours.hidden = yours.disabled = true;
    this.exampleSelect.replaceChildren(yours, ...examples.map(({ title }) => new Option(title, title)));
    const rules = this.rulesOf(this.environment);
    byId("installed", HTMLElement).textContent = words.packages(this.environment, rules);
    this.packages.placeholder = words.packagesExample(this.environment);
    this.packages.labels?.forEach((label) => (label.hidden = !rules));
    this.environmentSelect.disabled = this.exampleSelect.disabled = !sources.writable;
    this.stdin.readOnly = this.packages.readOnly = !sources.writable;
    this.openStdin();
    this.tabs.open(sources, this.environment.main);
    const { files } = this.tabs;
    const alone = files.length === 1 ? files[0]?.content : null;
    this.exampleSelect.selectedIndex = examples.findIndex(({ code }) => code === alone) + 1;
  }

  /** The editor's state of a file in the current environment. */
  made(name: string, content: string, extra?: Extension): EditorState {
    return this.editor.made(name, content, this.environment, extra);
  }

  showPackages(names: readonly string[]): void {
    this.packages.value = names.join(", ");
  }

  focus(): void {
    this.editor.focus();
  }

  /** What the environment's programs can ask for. Null: nothing. */
  private rulesOf(environment: Environment): PackageRules | null {
    return this.served.packages?.environments.includes(environment.name) ? this.served.packages : null;
  }

  private takeExample(): void {
    const chosen = this.exampleSelect.selectedIndex;
    const example = examplesOf(this.environment)[chosen - 1];
    if (!example) return;
    this.tabs.replace(example.code);
    this.exampleSelect.selectedIndex = chosen;
    this.setStdin(example.stdin ?? "");
  }

  private setStdin(text: string): void {
    this.stdin.value = text;
    this.stdin.dispatchEvent(new Event("input"));
    this.openStdin();
  }

  private openStdin(): void {
    const box = this.stdin.closest("details");
    if (box) box.open = this.stdin.value !== "";
  }
}
