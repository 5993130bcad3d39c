/** The tabs above the editor, one for each file, and the buttons that add, rename and remove one. */

import type { SourceFile } from "./api";
import { byId } from "./dom";
import type { Editor } from "./editor";
import { MOST_FILES, type Sources, faultOf } from "./sources";

export class Tabs {
  private readonly list = byId("tabs", HTMLElement);
  private readonly panel = byId("editor", HTMLElement);
  private readonly naming = byId("naming", HTMLFormElement);
  private readonly name = byId("name", HTMLInputElement);
  private readonly addButton = byId("add", HTMLButtonElement);
  private readonly renameButton = byId("rename", HTMLButtonElement);
  private readonly removeButton = byId("remove", HTMLButtonElement);
  private sources: Sources | null = null;
  private main = "";
  private current = "";
  /** The file that gets the name that is typed. Empty: a new one. */
  private named = "";

  constructor(private readonly editor: Editor) {
    this.list.addEventListener("keydown", (event) => this.key(event));
    this.addButton.addEventListener("click", () => this.ask(""));
    this.renameButton.addEventListener("click", () => this.ask(this.current));
    this.removeButton.addEventListener("click", () => this.remove());
    this.name.addEventListener("input", () => this.name.setCustomValidity(""));
    this.naming.addEventListener("submit", (event) => {
      event.preventDefault();
      this.name.setCustomValidity(this.fault);
      if (!this.name.reportValidity()) return;
      this.take(this.name.value.trim());
      this.asked();
    });
    this.naming.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation(); // it would stop the execution
      this.asked();
    });
    // Phones have a key that closes the keyboard in place of Enter.
    this.name.addEventListener("blur", () => {
      if (!this.naming.hidden && !this.fault) this.take(this.name.value.trim());
      this.asked(false);
    });
  }

  /** The file that runs first, then the others by name. */
  get files(): readonly SourceFile[] {
    this.keep();
    return this.names.map((name) => ({ name, content: this.sources?.content(name) ?? "" }));
  }

  /** Show these files, of which `main` runs. If there is none of this name, the first by name runs. */
  open(sources: Sources, main: string): void {
    this.sources = sources;
    this.main = main;
    this.current = "";
    this.asked(false);
    this.show(this.names[0] ?? "");
  }

  /** Show the file that runs with other code. Undo restores the old code. */
  replace(code: string): void {
    this.show(this.names[0] ?? "");
    this.editor.replace(code);
  }

  /** Draw the tabs after these files were added, removed or replaced. If the file that was shown is gone, show another. */
  refresh(changed: ReadonlySet<string>): void {
    const names = this.names;
    if (!names.includes(this.current)) this.show(names[0] ?? "");
    else if (changed.has(this.current)) this.show(this.current);
    else this.draw();
  }

  private get names(): readonly string[] {
    const names = [...(this.sources?.names ?? [])].sort();
    return names.includes(this.main) ? [this.main, ...names.filter((name) => name !== this.main)] : names;
  }

  private keep(): void {
    this.sources?.keep(this.current, this.editor.state);
  }

  private show(name: string): void {
    if (this.current) this.keep();
    this.current = name;
    if (this.sources) this.editor.show(this.sources.state(name));
    this.draw();
  }

  private draw(): void {
    const focused = this.list.contains(document.activeElement);
    const names = this.names;
    const tabs = names.map((name, at) => {
      const tab = document.createElement("button");
      const chosen = name === this.current;
      tab.type = "button";
      tab.role = "tab";
      tab.id = `tab-${at}`;
      tab.textContent = name;
      tab.tabIndex = chosen ? 0 : -1;
      tab.ariaSelected = String(chosen);
      tab.setAttribute("aria-controls", this.panel.id);
      if (at === 0) tab.title = "This file runs";
      tab.addEventListener("click", () => this.show(name));
      tab.addEventListener("dblclick", () => this.ask(name));
      return tab;
    });
    this.list.replaceChildren(...tabs);
    const chosen = tabs[names.indexOf(this.current)];
    this.panel.setAttribute("aria-labelledby", chosen?.id ?? "");
    // scrollIntoView would scroll the page as well.
    if (chosen) this.list.scrollLeft = chosen.offsetLeft - this.list.offsetLeft - this.list.clientWidth / 3;
    if (focused) chosen?.focus();
    const writable = this.sources?.writable ?? false;
    this.addButton.disabled = !writable || names.length >= MOST_FILES;
    this.renameButton.disabled = !writable;
    this.removeButton.disabled = !writable || names.length < 2;
  }

  private key(event: KeyboardEvent): void {
    const names = this.names;
    const at = names.indexOf(this.current);
    const steps: Record<string, number> = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: names.length - 1 };
    const step = steps[event.key];
    if (step !== undefined) this.show(names.at(step % names.length) ?? "");
    else if (event.key === "F2") this.ask(this.current);
    else if (event.key === "Delete") this.remove();
    else return;
    event.preventDefault();
  }

  private ask(name: string): void {
    if (!this.sources?.writable) return;
    this.named = name;
    this.name.value = name;
    this.name.placeholder = name || "Name of the new file";
    this.naming.hidden = false;
    this.name.focus();
    // A name is mostly changed before its dot.
    this.name.setSelectionRange(0, name.includes(".") ? name.lastIndexOf(".") : name.length);
  }

  /** Why the name that is typed can't be taken, as a sentence. Empty if it can. */
  private get fault(): string {
    return faultOf(this.name.value.trim(), this.names.filter((other) => other !== this.named));
  }

  private take(name: string): void {
    if (this.sources && name !== this.named) {
      this.keep();
      this.sources.add(name, this.named ? this.sources.content(this.named) : "");
      if (this.named) this.sources.remove(this.named);
      this.show(name);
    }
  }

  /** The name is taken, or was not wanted after all. */
  private asked(focus = true): void {
    if (this.naming.hidden) return;
    this.naming.hidden = true;
    this.name.setCustomValidity("");
    if (focus) this.editor.focus();
  }

  private remove(): void {
    if (this.removeButton.disabled) return;
    this.keep();
    if (this.sources?.content(this.current) && !confirm(`Remove ${this.current}? Its text is lost.`)) return;
    const focused = document.activeElement === this.removeButton;
    this.sources?.remove(this.current);
    this.refresh(new Set());
    if (focused && this.removeButton.disabled) this.addButton.focus();
  }
}
