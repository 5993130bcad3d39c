/** The files and the input of a room, as a document that all its members edit. */

import { EditorState, type Extension } from "@codemirror/state";
import { EditorView, keymap } from "@codemirror/view";
import { simpleDiffString } from "lib0/diff";
import { yCollab, yUndoManagerKeymap } from "y-codemirror.next";
import type { Awareness } from "y-protocols/awareness";
import * as Y from "yjs";
import type { Sources } from "../sources";

/** The editor's state of a file. `extra` comes before what every file has. */
export type MakeState = (name: string, content: string, extra: Extension) => EditorState;

/** The names of others at their cursors: always, since a phone has no pointer that could ask for them. */
const theme = EditorView.theme({
  ".cm-ySelectionInfo": {
    opacity: "1",
    padding: "0 0.3rem",
    borderRadius: "0.2rem 0.2rem 0.2rem 0",
    fontFamily: "var(--sans)",
    pointerEvents: "none",
  },
});

export class SharedDocument implements Sources {
  readonly doc = new Y.Doc();
  readonly stdin = this.doc.getText("stdin");
  writable = false;
  private readonly files = this.doc.getMap<Y.Text>("files");
  private readonly about = this.doc.getMap<string>("room");
  private readonly undos = new Map<Y.Text, Y.UndoManager>();

  constructor(
    private readonly awareness: () => Awareness,
    private readonly made: MakeState,
  ) {}

  /** Call `files` with the names of those that were added, removed or replaced, and `environment` when there is another. */
  observe(files: (names: ReadonlySet<string>) => void, environment: () => void): void {
    this.files.observe(({ keysChanged }) => files(keysChanged));
    this.about.observe(environment);
  }

  get environment(): string {
    return this.about.get("environment") ?? "";
  }

  get names(): readonly string[] {
    return [...this.files.keys()];
  }

  content(name: string): string {
    return this.files.get(name)?.toString() ?? "";
  }

  state(name: string): EditorState {
    const text = this.files.get(name);
    if (!text) return this.made(name, "", EditorState.readOnly.of(true));
    const undoManager = this.undos.get(text) ?? new Y.UndoManager(text);
    this.undos.set(text, undoManager);
    return this.made(name, text.toString(), [
      // A carriage return is a character of the text: else positions would differ.
      EditorState.lineSeparator.of("\n"),
      EditorState.readOnly.of(!this.writable),
      theme,
      yCollab(text, this.awareness(), { undoManager }),
      keymap.of(yUndoManagerKeymap),
    ]);
  }

  keep(): void {
    // The text is in the document already.
  }

  add(name: string, content: string): void {
    this.doc.transact(() => this.files.set(name, new Y.Text(content)));
  }

  remove(name: string): void {
    this.files.delete(name);
  }

  /** Choose another environment. Its main file is added if there is none. */
  choose(environment: string, main: string, content: string): void {
    this.doc.transact(() => {
      if (!this.files.has(main)) this.add(main, content);
      this.about.set("environment", environment);
    });
  }
}

/** Keep a field the same as a text of the document. Returns what ends that. */
export function bound(field: HTMLTextAreaElement, text: Y.Text): () => void {
  const typed = (): void => {
    const { index, remove, insert } = simpleDiffString(text.toString(), field.value);
    text.doc?.transact(() => {
      text.delete(index, remove);
      text.insert(index, insert);
    }, field);
  };
  const changed = ({ delta }: Y.YTextEvent, { origin }: Y.Transaction): void => {
    if (origin === field) return;
    const moved = [field.selectionStart, field.selectionEnd].map((position) => shifted(position, delta));
    field.value = text.toString();
    field.setSelectionRange(moved[0] ?? 0, moved[1] ?? 0);
  };
  field.value = text.toString();
  field.addEventListener("input", typed);
  text.observe(changed);
  return () => {
    field.removeEventListener("input", typed);
    text.unobserve(changed);
  };
}

/** Where a position of a text is after a change of the text. */
function shifted(position: number, delta: Y.YTextEvent["delta"]): number {
  let at = 0;
  let moved = position;
  for (const { retain, insert, delete: removed } of delta) {
    if (at > moved) break;
    if (retain) at += retain;
    else if (typeof insert === "string") {
      moved += insert.length;
      at += insert.length;
    } else if (removed) moved -= Math.min(removed, moved - at);
  }
  return moved;
}
