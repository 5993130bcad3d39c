/**
 * A terminal that shows output as text nodes, so that nothing that a program prints is interpreted as HTML.
 *
 * It has what line editors need: colours, the cursor's movements, erasing and inserting. It keeps all lines, and has no
 * alternate screen, scroll regions, mouse, or saved cursor: a full-screen editor is only roughly right.
 */

import { AnsiParser, type Control, type Style } from "./ansi";
import type { Size, Stream } from "./execution";

/** The API's bound. */
const LARGEST = 500;
const TAB = 8;
const WIDE = /[\p{sc=Han}\p{sc=Hira}\p{sc=Kana}\p{sc=Hang}\p{Emoji_Presentation}]/u;

/** One column. The columns that a tab or a wide character takes beyond its first have no text. */
interface Cell {
  readonly text: string;
  readonly classes: string;
}

interface Row {
  cells: Cell[];
  readonly element: HTMLSpanElement;
  /** Whether it goes on in the next row, since the line is longer than a row. */
  wraps: boolean;
}

const BLANK: Cell = { text: " ", classes: "" };

export class Terminal {
  private parsers = freshParsers();
  private rows: Row[] = [];
  private row = 0;
  private column = 0;
  private size: Size = { columns: Infinity, rows: 24 };
  private readonly changed = new Set<Row>();

  constructor(private readonly element: HTMLElement) {}

  /** Begin again, with lines of any length. */
  clear(): void {
    this.element.replaceChildren();
    this.parsers = freshParsers();
    this.rows = [];
    this.row = this.column = 0;
    this.size = { columns: Infinity, rows: 24 };
  }

  /** Take the size of the element, and return it. */
  fit(): Size {
    const probe = document.createElement("span");
    probe.textContent = "0".repeat(100);
    this.element.append(probe);
    const style = getComputedStyle(this.element);
    const width = this.element.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    const height = this.element.clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom);
    probe.style.whiteSpace = "pre";
    const columns = bounded((100 * width) / probe.getBoundingClientRect().width);
    probe.remove();
    this.size = { columns, rows: bounded(height / parseFloat(style.lineHeight)) };
    return this.size;
  }

  write(stream: Stream, text: string): void {
    const atEnd = this.element.scrollTop + this.element.clientHeight >= this.element.scrollHeight - 4;
    this.touch();
    for (const run of this.parsers[stream].parse(text)) {
      if ("control" in run) this.obey(run);
      else this.put(run.text, classNames(stream, run.style));
    }
    this.touch();
    for (const row of this.changed) this.draw(row);
    this.changed.clear();
    if (atEnd) this.element.scrollTop = this.element.scrollHeight;
  }

  /** The index of the first row that the program can reach. */
  private get top(): number {
    return Math.max(0, this.rows.length - this.size.rows);
  }

  private obey({ control, parameters }: Control): void {
    const mode = parameters[0] ?? 0;
    const count = Math.min(LARGEST, mode || 1);
    const { cells } = this.touch();
    const last = this.size.columns - 1;
    if (control === "\n") this.lineFeed();
    else if (control === "\r") this.column = 0;
    else if (control === "\b") this.column = Math.max(0, Math.min(this.column, last) - 1);
    else if (control === "\t") this.tab();
    else if (control === "A") this.moveTo(this.row - count);
    else if (control === "B") this.moveTo(this.row + count);
    else if (control === "C") this.column = Math.min(last, this.column + count);
    else if (control === "D") this.column = Math.max(0, this.column - count);
    else if (control === "G") this.column = Math.min(last, count - 1);
    else if (control === "H") {
      this.moveTo(this.top + count - 1);
      this.column = Math.min(last, Math.min(LARGEST, parameters[1] || 1) - 1);
    } else if (control === "J") this.eraseRows(mode);
    else if (control === "K") this.erase(mode);
    else if (control === "P") cells.splice(this.column, count);
    else if (control === "@") cells.splice(this.column, 0, ...Array<Cell>(count).fill(BLANK));
  }

  private put(text: string, classes: string): void {
    for (const character of text) {
      const before = this.touch().cells[this.column - 1];
      if (before && /^\p{M}$/u.test(character)) {
        this.touch().cells[this.column - 1] = { ...before, text: before.text + character };
        continue;
      }
      const width = WIDE.test(character) ? 2 : 1;
      if (this.column + width > this.size.columns) {
        this.touch().wraps = true;
        this.lineFeed();
      }
      const cells = this.reached();
      cells[this.column++] = { text: character, classes };
      if (width === 2) cells[this.column++] = { text: "", classes };
    }
  }

  private lineFeed(): void {
    this.row += 1;
    this.column = 0;
    this.touch();
  }

  private tab(): void {
    const cells = this.reached();
    const stop = Math.min(this.size.columns - 1, (Math.floor(this.column / TAB) + 1) * TAB);
    if (cells.length === this.column && stop > this.column) cells.push({ text: "\t", classes: "" });
    while (cells.length < stop) cells.push({ text: "", classes: "" });
    this.column = Math.max(this.column, stop);
  }

  /** The cells of the cursor's row, blank ones added up to the cursor. */
  private reached(): Cell[] {
    const { cells } = this.touch();
    while (cells.length < this.column) cells.push(BLANK);
    return cells;
  }

  private moveTo(row: number): void {
    const bottom = this.top + this.size.rows - 1;
    this.row = Math.min(bottom, Math.max(this.top, row));
    this.touch();
  }

  /** 0: from the cursor on, 1: up to it, 2: all. */
  private erase(mode: number): void {
    const { cells } = this.touch();
    if (mode === 0) cells.length = Math.min(cells.length, this.column);
    else if (mode === 1) cells.fill(BLANK, 0, this.column + 1);
    else cells.length = 0;
  }

  private eraseRows(mode: number): void {
    if (mode === 1) return;
    this.erase(mode);
    for (const row of this.rows.slice(mode === 0 ? this.row + 1 : this.top)) {
      row.cells = [];
      row.wraps = false;
      this.changed.add(row);
    }
  }

  /** The cursor's row, which is made if need be and drawn again in the end. */
  private touch(): Row {
    for (;;) {
      const row = this.rows[this.row];
      if (row) {
        this.changed.add(row);
        return row;
      }
      const before = this.rows[this.rows.length - 1];
      if (before) this.changed.add(before);
      const made: Row = { cells: [], element: document.createElement("span"), wraps: false };
      this.rows.push(made);
      this.element.append(made.element);
    }
  }

  private draw(row: Row): void {
    const cursor = row === this.rows[this.row] ? this.column : -1;
    const pieces: Cell[] = [];
    for (const [at, { text, classes }] of row.cells.entries()) {
      const shown = at === cursor ? `${classes} cursor` : classes;
      const last = pieces[pieces.length - 1];
      if (last?.classes === shown) pieces[pieces.length - 1] = { text: last.text + text, classes: shown };
      else pieces.push({ text, classes: shown });
    }
    if (cursor >= row.cells.length) pieces.push({ text: "", classes: "cursor" });
    row.element.replaceChildren(...pieces.map(styledSpan));
    if (!row.wraps && row !== this.rows[this.rows.length - 1]) row.element.append("\n");
  }
}

function styledSpan({ text, classes }: Cell): HTMLSpanElement {
  const span = document.createElement("span");
  span.className = classes;
  span.textContent = text;
  return span;
}

function bounded(number: number): number {
  return Math.max(1, Math.min(LARGEST, Math.floor(number)));
}

function freshParsers(): Record<Stream, AnsiParser> {
  return { stdout: new AnsiParser(), stderr: new AnsiParser() };
}

function classNames(stream: Stream, style: Style): string {
  const names: string[] = [stream];
  if (style.colour !== null) names.push(`colour-${style.colour}`);
  if (style.background !== null) names.push(`background-${style.background}`);
  for (const name of ["bold", "dim", "italic", "underline"] as const) if (style[name]) names.push(name);
  return names.join(" ");
}
