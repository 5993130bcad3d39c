/** The calls of the public API that this page makes. URLs are relative, so the page also works below a path. */

export interface Package {
  readonly name: string;
  readonly version: string;
}

export interface Environment {
  readonly name: string;
  readonly language: string;
  readonly version: string;
  readonly packages: readonly Package[];
  /** Name of the file that runs, where no name was given. */
  readonly main: string;
  /** A first program. */
  readonly example: string;
}

export interface Limits {
  readonly timeout_seconds: number;
  readonly memory_mb: number;
  readonly output_kb: number;
}

/** What executions can ask for beside what is installed. */
export interface PackageRules {
  /** Names of the environments that take packages. */
  readonly environments: readonly string[];
  /** Empty: any package. */
  readonly allow: readonly string[];
  /** Packages that one execution may ask for. */
  readonly most: number;
}

export interface Environments {
  readonly environments: readonly Environment[];
  readonly limits: Limits;
  readonly packages: PackageRules | null;
  /** Whether rooms can be made. */
  readonly rooms: boolean;
}

export interface SourceFile {
  readonly name: string;
  readonly content: string;
}

export interface ExecutionRequest {
  readonly environment: string;
  /** The first one runs. */
  readonly files: readonly SourceFile[];
  readonly packages: readonly string[];
  readonly stdin: string;
  readonly results: readonly string[];
}

export interface ResultFile {
  readonly name: string;
  /** Base64. */
  readonly content: string;
  /** In bytes. */
  readonly size: number;
}

export interface ExecutionResult {
  readonly status: string;
  readonly output: string;
  readonly error: string | null;
  readonly exit_code: number | null;
  readonly signal: string | null;
  readonly truncated: boolean;
  /** In seconds of wall time. */
  readonly execution_time: number;
  /** In bytes. */
  readonly memory_peak: number | null;
  readonly files: readonly ResultFile[];
  readonly warnings: readonly string[];
}

export interface Problem {
  readonly status: number;
  readonly detail: string;
  readonly code?: string;
  /** In seconds. */
  readonly retry_after?: number;
}

/** The request was refused. `problem` says why, and when to try again. */
export class Refused extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail);
  }
}

export async function environments(): Promise<Environments> {
  return (await answer(await reach("environments", {}))) as Environments;
}

export async function execute(request: ExecutionRequest, signal: AbortSignal): Promise<ExecutionResult> {
  const headers = { "Content-Type": "application/json" };
  const response = await reach("execute", { method: "POST", headers, body: JSON.stringify(request), signal });
  return (await answer(response)) as ExecutionResult;
}

/** Make a room with this program, and return the links to edit and to view it. */
export async function makeRoom(
  program: Pick<ExecutionRequest, "environment" | "files" | "stdin">,
): Promise<{ readonly edit: string; readonly view: string }> {
  const body = JSON.stringify(program);
  const response = await reach("rooms", { method: "POST", headers: { "Content-Type": "application/json" }, body });
  return (await answer(response)) as { edit: string; view: string };
}

/** The URL of a WebSocket of the API. */
export function socketAddress(path: string): URL {
  const address = new URL(path, document.baseURI);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  address.hash = "";
  return address;
}

async function reach(path: string, options: RequestInit): Promise<Response> {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Refused({ status: 0, detail: "The sandbox can't be reached. Is this device online?" });
  }
}

async function answer(response: Response): Promise<unknown> {
  const type = response.headers.get("Content-Type") ?? "";
  if (response.ok && type.startsWith("application/json")) return response.json();
  if (type.startsWith("application/problem+json")) throw new Refused((await response.json()) as Problem);
  // The answer is not the API's: it comes from something before it, such as a reverse proxy.
  const retryAfter = Number(response.headers.get("Retry-After"));
  throw new Refused({
    status: response.status,
    detail: `The sandbox is unavailable: HTTP ${response.status} ${response.statusText}`.trim() + ".",
    ...(retryAfter > 0 ? { retry_after: retryAfter } : {}),
  });
}
