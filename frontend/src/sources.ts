/** The files that a visitor edits. */

import type { EditorState } from "@codemirror/state";
import type { SourceFile } from "./api";

/** The API's bounds. */
export const MOST_FILES = 32;
const LONGEST_NAME = 255;

export interface Sources {
  /** Whether this visitor may change them. */
  readonly writable: boolean;
  readonly names: readonly string[];
  content(name: string): string;
  /** What the editor shows of the file. */
  state(name: string): EditorState;
  /** Take back the editor's state of the file, before another one is shown. */
  keep(name: string, state: EditorState): void;
  add(name: string, content: string): void;
  remove(name: string): void;
}

/** Files of this page alone. Each has an undo history of its own. */
export class OwnSources implements Sources {
  readonly writable = true;
  private readonly states: Map<string, EditorState>;

  constructor(
    files: readonly SourceFile[],
    private readonly made: (name: string, content: string) => EditorState,
  ) {
    this.states = new Map(files.map(({ name, content }) => [name, made(name, content)]));
  }

  get names(): readonly string[] {
    return [...this.states.keys()];
  }

  content(name: string): string {
    return this.state(name).doc.toString();
  }

  state(name: string): EditorState {
    return this.states.get(name) ?? this.made(name, "");
  }

  keep(name: string, state: EditorState): void {
    if (this.states.has(name)) this.states.set(name, state);
  }

  add(name: string, content: string): void {
    this.states.set(name, this.made(name, content));
  }

  remove(name: string): void {
    this.states.delete(name);
  }
}

/** Why a file can't have this name, as a sentence. Empty if it can. */
export function faultOf(name: string, others: readonly string[]): string {
  if (!name) return "A file needs a name.";
  if (others.includes(name)) return `There is a file ${name} already.`;
  if (new TextEncoder().encode(name).length > LONGEST_NAME) return `A name has at most ${LONGEST_NAME} bytes.`;
  if (name.split("/").some((part) => ["", ".", ".."].includes(part))) return "Name a file as in data/points.csv.";
  const folders = (path: string): string[] => path.split("/").map((_, at, parts) => parts.slice(0, at).join("/"));
  const clash = others.find((other) => folders(name).includes(other) || folders(other).includes(name));
  return clash ? `${clash} is there already, and a file can't be a folder as well.` : "";
}
