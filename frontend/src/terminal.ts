/** Shows output as text nodes, so that nothing that a program prints is interpreted as HTML. */

import { AnsiParser, type Run, type Style } from "./ansi";
import type { Stream } from "./execution";

type Origin = Stream | "typed";

export class Terminal {
  private parsers = freshParsers();
  private returned = false;

  constructor(private readonly element: HTMLElement) {}

  clear(): void {
    this.element.replaceChildren();
    this.parsers = freshParsers();
    this.returned = false;
  }

  write(origin: Origin, text: string): void {
    const atEnd = this.element.scrollTop + this.element.clientHeight >= this.element.scrollHeight - 4;
    for (const run of this.parsers[origin].parse(text)) this.show(origin, run);
    if (atEnd) this.element.scrollTop = this.element.scrollHeight;
  }

  private show(origin: Origin, run: Run): void {
    if (run === "return") {
      this.returned = true;
      return;
    }
    if (this.returned && !run.text.startsWith("\n")) this.dropLastLine();
    this.returned = false;
    const classes = classNames(origin, run.style);
    const last = this.element.lastElementChild;
    if (last?.className === classes) {
      last.append(run.text);
      return;
    }
    const span = document.createElement("span");
    span.className = classes;
    span.append(run.text);
    this.element.append(span);
  }

  /** Remove the text after the last line feed. */
  private dropLastLine(): void {
    for (let last = this.element.lastElementChild; last; last = this.element.lastElementChild) {
      const text = last.textContent ?? "";
      const end = text.lastIndexOf("\n");
      if (end >= 0) {
        last.textContent = text.slice(0, end + 1);
        return;
      }
      last.remove();
    }
  }
}

function freshParsers(): Record<Origin, AnsiParser> {
  return { stdout: new AnsiParser(), stderr: new AnsiParser(), typed: new AnsiParser() };
}

function classNames(origin: Origin, style: Style): string {
  const names: string[] = [origin];
  if (style.colour !== null) names.push(`colour-${style.colour}`);
  if (style.background !== null) names.push(`background-${style.background}`);
  for (const name of ["bold", "dim", "italic", "underline"] as const) if (style[name]) names.push(name);
  return names.join(" ");
}
