/** The executions of a room, of which each member sees every frame. */

import { Refused } from "../api";
import { type Execution, type Frame, Heard, Stopped } from "../execution";
import type { RunPanel } from "../panel";

/** Milliseconds until a connection that was lost is made again. */
const AGAIN = 1500;

interface Begin {
  readonly type: "run";
  readonly name: string | null;
  readonly packages: readonly string[];
}
type RoomFrame = Begin | (Frame & { /** Whether it is about a frame of this visitor's own. */ readonly yours?: boolean });

export class Runs {
  private socket!: WebSocket;
  private heard: Heard | null = null;
  private closed = false;

  /** `taken` resolves when the frames that have come may be shown. `packages` is called with those of each execution. */
  constructor(
    private taken: Promise<void>,
    private readonly address: URL,
    private readonly protocols: string[],
    private readonly panel: RunPanel,
    private readonly about: () => { readonly interactive: boolean; readonly controlled: boolean },
    private readonly packages: (names: readonly string[]) => void,
  ) {
    this.connect();
  }

  send(frame: object): void {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(frame));
    else this.panel.say("bad", "The room can't be reached at the moment.");
  }

  close(): void {
    this.closed = true;
    this.socket.close();
    this.lost();
  }

  private connect(): void {
    this.socket = new WebSocket(this.address, this.protocols);
    this.socket.onmessage = (message) => {
      const frame = JSON.parse(message.data as string) as RoomFrame;
      this.taken = this.taken.then(() => this.take(frame));
    };
    this.socket.onclose = ({ code }) => {
      this.lost();
      // 44xx: the server has decided. The other connection of the room says why.
      if (!this.closed && !(code >= 4400 && code < 4500)) setTimeout(() => this.closed || this.connect(), AGAIN);
    };
  }

  private lost(): void {
    this.heard?.fail(new Stopped());
  }

  private async take(frame: RoomFrame): Promise<void> {
    if (frame.type === "problem" && frame.yours) this.panel.refuse(new Refused(frame));
    else if (frame.type !== "run") this.heard?.take(frame);
    else {
      this.lost();
      this.packages(frame.packages);
      const about = { ...this.about(), by: frame.name ?? "somebody" };
      await this.panel.show((listener) => this.begun(new Heard(listener)), about);
    }
  }

  private begun(heard: Heard): Execution {
    this.heard = heard;
    return {
      ended: heard.ended,
      terminal: null,
      echoes: true,
      type: (data) => this.send({ type: "stdin", data }),
      endInput: () => this.send({ type: "stdin_end" }),
      resize: () => undefined,
      interrupt: () => this.send({ type: "signal", signal: "SIGINT" }),
      stop: () => this.send({ type: "cancel" }),
    };
  }
}
