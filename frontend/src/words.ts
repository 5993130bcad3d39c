/** Results, sizes, times and refusals as text. */

import type { ExecutionResult, Limits, Problem } from "./api";

const STATUSES: Readonly<Record<string, string>> = {
  success: "Success",
  error: "Error",
  timeout: "Out of time",
  memory_limit: "Out of memory",
  output_limit: "Too much output",
  process_limit: "Too many processes",
  killed: "Stopped",
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

export function refusal(problem: Problem): string {
  if (problem.status === 429) return "Too many executions from your address.";
  return problem.detail;
}

export function limits(of: Limits): string {
  return `at most ${of.timeout_seconds} s, ${of.memory_mb} MB of memory, ${of.output_kb} KB of output`;
}
