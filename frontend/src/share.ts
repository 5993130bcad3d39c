/** Encodes a program in the fragment of a URL. Browsers send no fragment to a server: only the reader gets the program. */

export interface Program {
  readonly environment: string;
  readonly code: string;
  readonly stdin: string;
}

const VERSION = "1.";
/** Bytes of JSON, more than any sandbox accepts. The bound keeps a small link from filling the memory. */
const LARGEST = 1 << 20;

export async function toFragment(program: Program): Promise<string> {
  const json = new TextEncoder().encode(JSON.stringify([program.environment, program.code, program.stdin]));
  const packed = await collect(through(json, new CompressionStream("deflate-raw")));
  return `#${VERSION}${base64url(packed)}`;
}

/** The program in a fragment, or null if there is none. Throws if the program is damaged. */
export async function fromFragment(fragment: string): Promise<Program | null> {
  const text = fragment.replace(/^#/, "");
  if (!text.startsWith(VERSION)) return null;
  try {
    const bytes = await collect(through(bytesOf(text.slice(VERSION.length)), new DecompressionStream("deflate-raw")));
    const parts: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    if (!Array.isArray(parts) || parts.length !== 3 || parts.some((part) => typeof part !== "string")) throw new Error();
    const [environment, code, stdin] = parts as [string, string, string];
    return { environment, code, stdin };
  } catch {
    throw new Error("This link is damaged: a part of it may be missing. Ask for it again.");
  }
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
