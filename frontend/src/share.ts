/** Encodes a program in the fragment of a URL. Browsers send no fragment to a server: only the reader gets the program. */

import type { SourceFile } from "./api";
import { MOST_FILES } from "./sources";

export interface Program {
  readonly environment: string;
  readonly files: readonly SourceFile[];
  readonly stdin: string;
  /** As in the field for them. */
  readonly packages: string;
}

/** The id and the secret of a room. The secret decides whether its holder may edit. */
export interface RoomLink {
  readonly id: string;
  readonly token: string;
}

const DAMAGED = "This link is damaged: a part of it may be missing. Ask for it again.";
const VERSION = "2.";
/** Its links hold the environment, the code of one file, and stdin. */
const FIRST_VERSION = "1.";
/** Bytes of JSON, more than any sandbox accepts. The bound keeps a small link from filling the memory. */
const LARGEST = 1 << 20;

export async function toFragment(program: Program): Promise<string> {
  const { environment, stdin, packages, files } = program;
  const parts = [environment, stdin, packages, ...files.flatMap(({ name, content }) => [name, content])];
  const json = new TextEncoder().encode(JSON.stringify(parts));
  const packed = await collect(through(json, new CompressionStream("deflate-raw")));
  return `#${VERSION}${base64url(packed)}`;
}

/**
 * The program in a fragment, or null if there is none. Throws if the program is damaged.
 *
 * `main` tells the name of the one file of a link of the first version, by the environment.
 */
export async function fromFragment(fragment: string, main: (environment: string) => string): Promise<Program | null> {
  const text = fragment.replace(/^#/, "");
  if (!text.startsWith(VERSION) && !text.startsWith(FIRST_VERSION)) return null;
  try {
    const bytes = await collect(through(bytesOf(text.slice(VERSION.length)), new DecompressionStream("deflate-raw")));
    const parts: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    if (!Array.isArray(parts) || parts.some((part) => typeof part !== "string")) throw new Error();
    return text.startsWith(VERSION) ? programOf(parts as string[]) : ofFirstVersion(parts as string[], main);
  } catch {
    throw new Error(DAMAGED);
  }
}

/** The room in a fragment, or null if there is none. Throws if the link is damaged. */
export function roomOf(fragment: string): RoomLink | null {
  const given = new URLSearchParams(fragment.replace(/^#/, ""));
  const [id, token] = [given.get("room"), given.get("token")];
  if (id === null) return null;
  // The characters that a path and a subprotocol may have.
  if (!/^[\w-]+$/.test(id) || !token || !/^[\w-]+$/.test(token)) throw new Error(DAMAGED);
  return { id, token };
}

function programOf([environment, stdin, packages, ...rest]: string[]): Program {
  const files = rest.flatMap((name, at) => (at % 2 ? [] : [{ name, content: rest[at + 1] }]));
  const complete = files.filter((file): file is SourceFile => file.content !== undefined);
  const names = new Set(files.map(({ name }) => name));
  if (environment === undefined || stdin === undefined || packages === undefined) throw new Error();
  if (complete.length < files.length || names.size < files.length) throw new Error();
  if (files.length < 1 || files.length > MOST_FILES) throw new Error();
  return { environment, files: complete, stdin, packages };
}

function ofFirstVersion([environment, content, stdin, ...rest]: string[], main: (of: string) => string): Program {
  if (environment === undefined || content === undefined || stdin === undefined || rest.length) throw new Error();
  return { environment, files: [{ name: main(environment), content }], stdin, packages: "" };
}

function through(bytes: BlobPart, transform: CompressionStream | DecompressionStream): ReadableStream<Uint8Array> {
  return new Blob([bytes]).stream().pipeThrough(transform);
}

async function collect(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  const reader = stream.getReader();
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    size += piece.value.length;
    if (size > LARGEST) {
      await reader.cancel();
      throw new Error();
    }
    chunks.push(piece.value);
  }
  const whole = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

function base64url(bytes: Uint8Array): string {
  const text = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
}
