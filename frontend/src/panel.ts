/** The run panel: buttons, status line, output, input line, notices and result files. */

import { type ExecutionRequest, type ExecutionResult, Refused } from "./api";
import { byId } from "./dom";
import { RunningExecution, Stopped } from "./execution";
import { fileElement } from "./files";
import { keyText } from "./keys";
import { Terminal } from "./terminal";
import { refusal, seconds, summary } from "./words";

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
  private running: RunningExecution | null = null;
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
    this.say("bad", wait ? `${refusal(problem)} Try again in ${wait} s.` : refusal(problem));
    if (wait) this.comeBack = setTimeout(() => this.say("idle", "You can try again now."), wait * 1000);
  }

  /** Run a program to its end. Does nothing while another one runs. */
  async run(request: ExecutionRequest): Promise<void> {
    if (this.running) return;
    this.begin();
    const interactive = !request.stdin;
    const size = interactive && ASKS.test(request.code) ? this.terminal.fit() : null;
    let showTyping = 0;
    const running = new RunningExecution(request, {
      streaming: () => {
        this.interruptButton.disabled = false;
        if (interactive) showTyping = setTimeout(() => (this.typing.hidden = false), TYPING_DELAY);
      },
      output: (stream, text) => this.terminal.write(stream, text),
    }, size);
    this.running = running;
    const started = performance.now();
    const tick = setInterval(() => (this.clock.textContent = seconds((performance.now() - started) / 1000)), CLOCK_TICK);
    try {
      this.show(await running.ended);
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

  stop(): void {
    if (!this.running) return;
    this.say("running", "Stopping…");
    this.running.stop();
  }

  private begin(): void {
    this.terminal.clear();
    this.notices.replaceChildren();
    this.files.replaceChildren();
    this.notices.hidden = this.files.hidden = true;
    this.line.value = "";
    this.say("running", "Running…");
    this.stopButton.disabled = false;
    if (document.activeElement === this.runButton) this.stopButton.focus();
    this.runButton.disabled = true;
  }

  private end(): void {
    this.running = null;
    const focusIsLost = this.typing.contains(document.activeElement) || document.activeElement === this.stopButton;
    this.runButton.disabled = false;
    if (focusIsLost || document.activeElement === this.interruptButton) this.runButton.focus();
    this.stopButton.disabled = this.interruptButton.disabled = true;
    this.typing.hidden = true;
  }

  private show(result: ExecutionResult): void {
    this.say(result.status === "success" ? "good" : "bad", summary(result));
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
    // A terminal echoes what is typed.
    if (!this.running?.terminal) this.terminal.write("stdout", this.line.value + end);
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
