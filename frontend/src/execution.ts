/** One execution: streamed over a socket, or in a single answer where a socket can't be had. */

import { type ExecutionRequest, type ExecutionResult, type Problem, Refused, execute, streamAddress } from "./api";

export type Stream = "stdout" | "stderr";

/** In characters. */
export interface Size {
  readonly columns: number;
  readonly rows: number;
}

export interface Listener {
  /** The execution has started, and takes input and signals until it ends. */
  streaming(): void;
  output(stream: Stream, text: string): void;
}

type Frame =
  | { readonly type: "started" }
  | { readonly type: "output"; readonly stream: Stream; readonly data: string }
  | ({ readonly type: "result" } & ExecutionResult)
  | ({ readonly type: "problem" } & Problem);

/** How long to wait for the result of a cancelled execution, in milliseconds. */
const PATIENCE = 3000;

export class Stopped extends Error {}

export class RunningExecution {
  /** Resolves to the result, or rejects with `Refused` or `Stopped`. */
  readonly ended: Promise<ExecutionResult>;
  private socket: WebSocket | null = null;
  private readonly aborted = new AbortController();

  constructor(
    private readonly request: ExecutionRequest,
    private readonly listener: Listener,
    /** The size of the program's terminal when it starts. Null: it has none. */
    readonly terminal: Size | null,
  ) {
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
      const socket = new WebSocket(streamAddress());
      socket.onopen = () => resolve(socket);
      socket.onerror = () => resolve(null);
      this.aborted.signal.addEventListener("abort", () => socket.close());
    });
  }

  private stream(socket: WebSocket): Promise<ExecutionResult> {
    this.socket = socket;
    return new Promise((resolve, reject) => {
      socket.onmessage = (message) => {
        const frame = JSON.parse(message.data as string) as Frame;
        if (frame.type === "started") this.listener.streaming();
        else if (frame.type === "output") this.listener.output(frame.stream, frame.data);
        else if (frame.type === "result") resolve(frame);
        else reject(new Refused(frame));
      };
      socket.onclose = () => reject(new Refused({ status: 0, detail: "The connection ended before the execution did." }));
      this.send({ type: "start", ...this.request, terminal: this.terminal });
      if (this.request.stdin) this.endInput();
    });
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
