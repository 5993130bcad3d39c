/** One execution: streamed over a socket, or in a single answer where a socket can't be had. */

import { type ExecutionRequest, type ExecutionResult, type Problem, Refused, execute, socketAddress } from "./api";

export type Stream = "stdout" | "stderr";

/** In characters. */
export interface Size {
  readonly columns: number;
  readonly rows: number;
}

export interface Listener {
  /** The packages are prepared before the execution starts. */
  preparing(step: string): void;
  /** The execution has started, and takes input and signals until it ends. */
  streaming(): void;
  output(stream: Stream, text: string): void;
}

/** What the panel follows and sends input to. */
export interface Execution {
  /** Resolves to the result, or rejects with `Refused` or `Stopped`. */
  readonly ended: Promise<ExecutionResult>;
  /** The size of the program's terminal when it starts. Null: it has none. */
  readonly terminal: Size | null;
  /** Whether what is typed comes back as output. */
  readonly echoes: boolean;
  type(text: string): void;
  endInput(): void;
  resize(size: Size): void;
  interrupt(): void;
  stop(): void;
}

export type Frame =
  | { readonly type: "preparing"; readonly step: string }
  | { readonly type: "started" }
  | { readonly type: "output"; readonly stream: Stream; readonly data: string }
  | ({ readonly type: "result" } & ExecutionResult)
  | { readonly type: "stdin"; readonly data: string }
  | ({ readonly type: "problem" } & Problem);

/** How long to wait for the result of a cancelled execution, in milliseconds. */
const PATIENCE = 3000;

export class Stopped extends Error {}

/** Tells a listener what the frames of one execution say. */
export class Heard {
  readonly ended: Promise<ExecutionResult>;
  /** Ends it without a result. Does nothing when it has ended. */
  fail!: (reason: Refused | Stopped) => void;
  private succeed!: (result: ExecutionResult) => void;

  constructor(private readonly listener: Listener) {
    this.ended = new Promise((resolve, reject) => {
      this.succeed = resolve;
      this.fail = reject;
    });
  }

  take(frame: Frame): void {
    if (frame.type === "preparing") this.listener.preparing(frame.step);
    else if (frame.type === "started") this.listener.streaming();
    else if (frame.type === "output") this.listener.output(frame.stream, frame.data);
    else if (frame.type === "stdin") this.listener.output("stdout", frame.data);
    else if (frame.type === "result") this.succeed(frame);
    else this.fail(new Refused(frame));
  }
}

export class RunningExecution implements Execution {
  readonly ended: Promise<ExecutionResult>;
  readonly echoes: boolean;
  private socket: WebSocket | null = null;
  private readonly aborted = new AbortController();

  constructor(
    private readonly request: ExecutionRequest,
    private readonly listener: Listener,
    readonly terminal: Size | null,
  ) {
    this.echoes = terminal !== null;
    this.ended = this.run();
  }

  type(text: string): void {
    this.send({ type: "stdin", data: text });
  }

  endInput(): void {
    this.send({ type: "stdin_end" });
  }

  resize(size: Size): void {
    this.send({ type: "resize", ...size });
  }

  interrupt(): void {
    this.send({ type: "signal", signal: "SIGINT" });
  }

  /** Cancel the execution. `ended` still resolves if the result arrives within `PATIENCE`. */
  stop(): void {
    if (this.socket?.readyState !== WebSocket.OPEN) return this.aborted.abort();
    this.send({ type: "cancel" });
    setTimeout(() => this.aborted.abort(), PATIENCE);
  }

  private async run(): Promise<ExecutionResult> {
    try {
      const socket = await this.open();
      return socket ? await this.stream(socket) : await this.inOneAnswer();
    } catch (error) {
      throw this.aborted.signal.aborted ? new Stopped() : error;
    } finally {
      this.socket?.close();
    }
  }

  /** The open socket, or null if it can't be opened. A browser does not learn the reason. */
  private open(): Promise<WebSocket | null> {
    return new Promise((resolve) => {
      const socket = new WebSocket(socketAddress("execute/stream"));
      socket.onopen = () => resolve(socket);
      socket.onerror = () => resolve(null);
      this.aborted.signal.addEventListener("abort", () => socket.close());
    });
  }

  private stream(socket: WebSocket): Promise<ExecutionResult> {
    this.socket = socket;
    const heard = new Heard(this.listener);
    socket.onmessage = (message) => heard.take(JSON.parse(message.data as string) as Frame);
    socket.onclose = () =>
      heard.fail(new Refused({ status: 0, detail: "The connection ended before the execution did." }));
    this.send({ type: "start", ...this.request, terminal: this.terminal });
    if (this.request.stdin) this.endInput();
    return heard.ended;
  }

  private async inOneAnswer(): Promise<ExecutionResult> {
    const result = await execute(this.request, this.aborted.signal);
    this.listener.output("stdout", result.output);
    return result;
  }

  private send(frame: object): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(frame));
  }
}
