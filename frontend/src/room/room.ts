/** A room: a program that several visitors edit and run together. This module is loaded when one is opened. */

import { createEncoder, toUint8Array, writeVarUint } from "lib0/encoding";
import { messageYjsSyncStep1, messageYjsSyncStep2, writeSyncStep1 } from "y-protocols/sync";
import { WebsocketProvider, messageSync } from "y-websocket";
import { socketAddress } from "../api";
import type { RunPanel } from "../panel";
import type { RoomLink } from "../share";
import type { Sources } from "../sources";
import { RoomBar } from "./bar";
import { type MakeState, SharedDocument, bound } from "./document";
import { Runs } from "./runs";

/** By the code with which the server closes a room's connections. */
const CLOSED: Readonly<Record<string, string>> = {
  room_not_found: "This room is gone, or a part of its link is missing.",
  room_full: "The room's text would be too long with the last change.",
  room_members: "Too many visitors are in this room.",
};

/** The page, for a room. */
export interface Host {
  readonly panel: RunPanel;
  readonly stdin: HTMLTextAreaElement;
  readonly made: MakeState;
  /** Show the room's program. Called again when its environment, or what one may do, has changed. */
  opened(environment: string, sources: Sources): void;
  filesChanged(names: ReadonlySet<string>): void;
  packagesUsed(names: readonly string[]): void;
  /** The room can't be used any more. */
  closed(why: string): void;
}

export class Room {
  private readonly provider: WebsocketProvider;
  private readonly document: SharedDocument;
  private readonly bar: RoomBar;
  private readonly runs: Runs;
  private unbind: () => void = () => undefined;
  /** Called when the server has answered to step 1 of the sync protocol. */
  private answered: () => void = () => undefined;
  private shown = false;

  constructor(
    readonly link: RoomLink,
    private readonly host: Host,
  ) {
    const protocols = ["vps-room", `token.${link.token}`];
    this.document = new SharedDocument(() => this.provider.awareness, host.made);
    this.provider = new WebsocketProvider(socketAddress("rooms").href, `${link.id}/sync`, this.document.doc, {
      protocols,
      disableBc: true, // a viewer's window must not write through an editor's
    });
    this.bar = new RoomBar(this.provider.awareness);
    this.bar.say("Opening…");
    const about = () => ({ interactive: this.interactive, controlled: this.writable });
    const address = socketAddress(`rooms/${link.id}/runs`);
    // Only then it is known what the visitor may do.
    const synced = new Promise<void>((resolve) => this.provider.once("sync", () => resolve()));
    this.runs = new Runs(synced, address, protocols, host.panel, about, (names) => host.packagesUsed(names));
    this.provider.on("status", ({ status }) => this.shown && status !== "connected" && this.bar.say("Connecting…"));
    this.provider.on("sync", (synced: boolean) => synced && this.synced());
    this.provider.on("closed", ({ reason }) => host.closed(CLOSED[reason] ?? `The room is closed: ${reason}.`));
    this.document.observe(
      (names) => this.shown && host.filesChanged(names),
      () => this.shown && this.show(),
    );
    this.readSync();
  }

  /** Whether this link may edit and run. */
  get writable(): boolean {
    return this.document.writable;
  }

  async run(packages: readonly string[]): Promise<void> {
    await this.settled();
    this.runs.send({ type: "run", name: this.bar.name, packages, interactive: this.interactive });
  }

  /** Choose another environment for all. Its main file is added with this content if there is none. */
  choose(environment: string, main: string, content: string): void {
    this.document.choose(environment, main, content);
  }

  leave(): void {
    this.unbind();
    this.runs.close();
    this.provider.destroy();
    this.bar.close();
  }

  /**
   * Resolves when the server has all edits of this page, which go another way than runs: it takes the messages of a
   * connection in order, so its answer to a question comes after them.
   */
  private settled(): Promise<void> {
    const answered = new Promise<void>((resolve) => (this.answered = resolve));
    const encoder = createEncoder();
    writeVarUint(encoder, messageSync);
    writeSyncStep1(encoder, this.document.doc);
    if (!this.provider.wsconnected) return Promise.resolve();
    this.provider.ws?.send(toUint8Array(encoder));
    return answered;
  }

  private get interactive(): boolean {
    return this.document.stdin.length === 0;
  }

  private synced(): void {
    this.bar.say(this.writable ? "" : "View only");
    if (this.shown) return;
    this.unbind = bound(this.host.stdin, this.document.stdin);
    this.show();
  }

  private show(): void {
    this.shown = true;
    this.host.opened(this.document.environment, this.document);
  }

  /** Learn from the messages of the sync protocol. By step 1 the server asks those who may edit for what they have. */
  private readSync(): void {
    const { messageHandlers } = this.provider;
    const sync = messageHandlers[messageSync];
    messageHandlers[messageSync] = (encoder, decoder, ...rest) => {
      const step = decoder.arr[decoder.pos];
      if (step === messageYjsSyncStep2) this.answered();
      if (step === messageYjsSyncStep1 && !this.writable) {
        this.document.writable = true;
        if (this.shown) {
          this.synced();
          this.show();
        }
      }
      sync?.(encoder, decoder, ...rest);
    };
  }
}
