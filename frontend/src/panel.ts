/** The run panel: buttons, status line, output, input line, notices and result files. */

import { type ExecutionRequest, type ExecutionResult, Refused } from "./api";
import { byId } from "./dom";
import { type Execution, type Listener, RunningExecution, Stopped } from "./execution";
import { fileElement } from "./files";
import { keyText } from "./keys";
import { Terminal } from "./terminal";
import { PREPARING, seconds, summary } from "./words";

type Kind = "idle" | "running" | "good" | "bad";

/** Milliseconds until the input line appears, so that it does not flicker for a short program. */
const TYPING_DELAY = 300;
const CLOCK_TICK = 100;

/**
 * Code that seems to ask somebody at a keyboard runs in a terminal, in a sandbox that is made for it. Other code runs in
 * one that is ready, which answers sooner. A line can be typed for it all the same.
 */
const ASKS =
  /\b(input|getpass|stdin|read|readline|readlines|gets|prompt|question|breakpoint|pdb|interact|curses|isatty|tty|stty)\b/i;

/** About an execution that is shown. */
export interface About {
  /** Whether it takes lines while it runs. */
  readonly interactive: boolean;
  /** Whether this visitor may type and stop it. */
  readonly controlled: boolean;
  /** Who started it. Empty: this visitor. */
  readonly by: string;
}

export class RunPanel {
  private readonly runButton = byId("run", HTMLButtonElement);
  private readonly stopButton = byId("stop", HTMLButtonElement);
  private readonly interruptButton = byId("interrupt", HTMLButtonElement);
  private readonly status = byId("status", HTMLElement);
  private readonly clock = byId("clock", HTMLElement);
  private readonly typing = byId("typing", HTMLFormElement);
  private readonly line = byId("line", HTMLInputElement);
  private readonly notices = byId("notices", HTMLUListElement);
  private readonly files = byId("files", HTMLElement);
  private readonly output = byId("output", HTMLPreElement);
  private readonly terminal = new Terminal(this.output);
  private running: Execution | null = null;
  private ended = Promise.resolve();
  private allowed = false;
  private comeBack = 0;

  constructor() {
    this.stopButton.addEventListener("click", () => this.stop());
    this.interruptButton.addEventListener("click", () => this.running?.interrupt());
    byId("end", HTMLButtonElement).addEventListener("click", () => this.endInput());
    this.typing.addEventListener("submit", (event) => {
      event.preventDefault();
      this.typeLine();
    });
    this.line.addEventListener("keydown", (event) => {
      if (event.ctrlKey && event.key === "d") {
        event.preventDefault();
        this.endInput();
      }
    });
    this.output.addEventListener("keydown", (event) => {
      const text = this.typing.hidden || !this.running?.terminal ? null : keyText(event);
      if (text === null) return;
      event.preventDefault();
      this.running?.type(text);
    });
    this.output.addEventListener("paste", (event) => {
      if (this.running?.terminal) this.running.type(event.clipboardData?.getData("text") ?? "");
    });
    addEventListener("resize", () => {
      if (this.running?.terminal) this.running.resize(this.terminal.fit());
    });
  }

  say(kind: Kind, text: string): void {
    clearTimeout(this.comeBack);
    this.status.parentElement?.setAttribute("data-kind", kind);
    this.status.textContent = text;
    this.clock.textContent = "";
  }

  /** Show why a request was refused and when to try again. */
  refuse({ problem }: Refused): void {
    const wait = problem.retry_after;
    this.say("bad", wait ? `${problem.detail} Try again in ${wait} s.` : problem.detail);
    if (wait) this.comeBack = setTimeout(() => this.say("idle", "You can try again now."), wait * 1000);
  }

  /** Whether a run may be started. */
  allow(runs: boolean): void {
    this.allowed = runs;
    this.runButton.disabled = !runs || this.running !== null;
  }

  /** Run a program to its end. Does nothing while another one runs. */
  run(request: ExecutionRequest): void {
    if (this.running) return;
    const interactive = !request.stdin;
    const asks = interactive && request.files.some(({ content }) => ASKS.test(content));
    const run = (listener: Listener): Execution =>
      new RunningExecution(request, listener, asks ? this.terminal.fit() : null);
    this.ended = this.follow(run, { interactive, controlled: true, by: "" });
  }

  /** Show an execution once the one that is shown has ended. Returns when it is shown. */
  async show(begin: (listener: Listener) => Execution, about: About): Promise<void> {
    await this.ended;
    this.ended = this.follow(begin, about);
  }

  stop(): void {
    if (!this.running || this.stopButton.disabled) return;
    this.say("running", "Stopping…");
    this.running.stop();
  }

  private async follow(begin: (listener: Listener) => Execution, about: About): Promise<void> {
    const { interactive, controlled, by } = about;
    const says = by ? `Running, started by ${by}…` : "Running…";
    this.begin(controlled);
    this.say("running", says);
    let showTyping = 0;
    const running = begin({
      preparing: (step) => this.say("running", PREPARING[step] ?? step),
      streaming: () => {
        this.say("running", says);
        this.interruptButton.disabled = !controlled;
        if (interactive && controlled) showTyping = setTimeout(() => (this.typing.hidden = false), TYPING_DELAY);
      },
      output: (stream, text) => this.terminal.write(stream, text),
    });
    this.running = running;
    const started = performance.now();
    const tick = setInterval(() => (this.clock.textContent = seconds((performance.now() - started) / 1000)), CLOCK_TICK);
    try {
      this.conclude(await running.ended, by);
    } catch (error) {
      if (error instanceof Refused) this.refuse(error);
      else if (error instanceof Stopped) this.say("bad", "Stopped");
      else throw error;
    } finally {
      clearInterval(tick);
      clearTimeout(showTyping);
      this.end();
    }
  }

  private begin(controlled: boolean): void {
    this.terminal.clear();
    this.notices.replaceChildren();
    this.files.replaceChildren();
    this.notices.hidden = this.files.hidden = true;
    this.line.value = "";
    this.stopButton.disabled = !controlled;
    if (document.activeElement === this.runButton) this.stopButton.focus();
    this.runButton.disabled = true;
  }

  private end(): void {
    this.running = null;
    const focusIsLost = this.typing.contains(document.activeElement) || document.activeElement === this.stopButton;
    this.runButton.disabled = !this.allowed;
    if (focusIsLost || document.activeElement === this.interruptButton) this.runButton.focus();
    this.stopButton.disabled = this.interruptButton.disabled = true;
    this.typing.hidden = true;
  }

  private conclude(result: ExecutionResult, by: string): void {
    this.say(result.status === "success" ? "good" : "bad", by ? `${summary(result)} · started by ${by}` : summary(result));
    const notices = [...(result.error ? [result.error] : []), ...result.warnings];
    if (result.truncated) notices.push("Output beyond the limit was dropped.");
    for (const notice of notices) {
      const item = document.createElement("li");
      item.textContent = notice;
      this.notices.append(item);
    }
    this.notices.hidden = notices.length === 0;
    this.files.append(...result.files.map(fileElement));
    this.files.hidden = result.files.length === 0;
  }

  private typeLine(): void {
    const end = this.running?.terminal ? "\r" : "\n";
    this.running?.type(this.line.value + end);
    if (!this.running?.echoes) this.terminal.write("stdout", this.line.value + end);
    this.line.value = "";
  }

  private endInput(): void {
    if (this.line.value) this.typeLine();
    this.running?.endInput();
    if (this.running?.terminal) return;
    this.stopButton.focus();
    this.typing.hidden = true;
  }
}
