/** Results, sizes, times and refusals as text. */

import type { Environment, ExecutionResult, Limits, PackageRules } from "./api";

const STATUSES: Readonly<Record<string, string>> = {
  success: "Success",
  error: "Error",
  timeout: "Out of time",
  memory_limit: "Out of memory",
  output_limit: "Too much output",
  process_limit: "Too many processes",
  killed: "Stopped",
};

/** Before the names of npm's packages in rules. */
const NPM = "npm:";

/** By the step of a frame of type `preparing`. */
export const PREPARING: Readonly<Record<string, string>> = {
  waiting: "Waiting until other packages are prepared…",
  resolving: "Looking for the packages…",
  fetching: "Fetching the packages…",
};

export function bytes(size: number): string {
  if (size < 1024) return `${size} B`;
  if (size < 1 << 20) return `${(size / 1024).toFixed(1)} KB`;
  return `${(size / (1 << 20)).toFixed(1)} MB`;
}

export function seconds(time: number): string {
  return time < 1 ? `${Math.round(time * 1000)} ms` : `${time.toFixed(2)} s`;
}

export function summary(result: ExecutionResult): string {
  const parts = [STATUSES[result.status] ?? result.status];
  if (result.exit_code !== null) parts.push(`exit code ${result.exit_code}`);
  if (result.signal) parts.push(result.signal);
  parts.push(seconds(result.execution_time));
  if (result.memory_peak) parts.push(bytes(result.memory_peak));
  return parts.join(" · ");
}

/** How packages of an environment are asked for. */
export function packagesExample({ language }: Environment): string {
  return language === "python" ? "rich, requests>=2.32" : "lodash, date-fns@^3";
}

/** What an environment has, and what can be asked for if it takes packages. */
export function packages(environment: Environment, rules: PackageRules | null): string {
  const installed = environment.packages.map(({ name, version }) => `${name} ${version}`).join(", ");
  const has = installed ? `With ${installed}.` : "With its standard library.";
  if (!rules) return has;
  const ofNpm = environment.language !== "python";
  const allowed = rules.allow.filter((name) => name.startsWith(NPM) === ofNpm).map((name) => name.replace(NPM, ""));
  return `${has} You can ask for up to ${rules.most} packages${rules.allow.length ? ` of ${allowed.join(", ")}` : ""}.`;
}

export function limits(of: Limits): string {
  return `at most ${of.timeout_seconds} s, ${of.memory_mb} MB of memory, ${of.output_kb} KB of output`;
}
