/** Programs of a test that run as processes of their own, on the same way to the kernel as the test itself. */
import { join } from "node:path";
import { syscalls } from "../../syscall/shim.ts";
import { patience } from "./patience.ts";

/** Bun, with what makes a child take the way to the kernel that this process takes. */
export const bun: readonly string[] = [process.execPath, ...(syscalls().backend === "libc" ? ["--no-ffi-cc"] : [])];

/** What became of a program. */
export interface Outcome {
  exitCode: number | null;
  signal: NodeJS.Signals | number | undefined;
  stdout: string;
  stderr: string;
}

/** The path of a program in test/support. */
export function program(name: string): string {
  return join(import.meta.dir, name);
}

// Bun: collects garbage by the clock as well, in the middle of what a program measures where that takes its time.
const env = { PATH: process.env["PATH"] ?? "", BUN_GC_TIMER_DISABLE: "1" };

/** Runs a command to its end, twenty seconds at the longest. */
export function run(command: readonly string[]): Outcome {
  const { exitCode, signalCode, stdout, stderr } = Bun.spawnSync([...command], {
    env,
    timeout: 20_000 * patience,
  });
  return { exitCode, signal: signalCode, stdout: String(stdout), stderr: String(stderr) };
}

/** Runs a program of test/support under `launcher`, and reads the one line of JSON that it prints. */
export function report<T>(name: string, args: readonly string[] = [], launcher: readonly string[] = []): T {
  const outcome = run([...launcher, ...bun, program(name), ...args]);
  const line = outcome.stdout.trim().split("\n").at(-1) ?? "";
  if (outcome.exitCode !== 0 || !/^[[{]/.test(line)) {
    throw new Error(`${name} ${args.join(" ")}: ${JSON.stringify(outcome, null, 1)}`);
  }
  return JSON.parse(line) as T;
}
