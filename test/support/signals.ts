/** Sends a signal to a program while it waits inside io_uring_enter. */
import { readFileSync } from "node:fs";
import { bun, program } from "./child.ts";
import { patience } from "./patience.ts";

/** What waiter.ts found. */
export interface Waited {
  /** The ring's errno after the wait. */
  errno: number;
  /** Whether the handler had run when the wait returned. */
  handledDuring: boolean;
  /** Whether it had once JavaScript had been back in its loop. */
  handledAfter: boolean;
  /** User data and result of the request that was in flight all the time. */
  later: number[];
  /** Whether the wait lasted to its end, where it had one. */
  late: boolean;
}

/** The number of io_uring_enter(2), the same on every processor. */
const ENTER = "426";

/** Whether a process's main thread is inside io_uring_enter now. */
function isWaiting(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/syscall`, "utf8").startsWith(`${ENTER} `);
  } catch {
    return false;
  }
}

/** Runs waiter.ts, and sends it `signal` once it waits. */
export async function signalled(
  wait: string,
  signal: "SIGUSR1" | "SIGINT",
): Promise<{ exitCode: number | null; signal: NodeJS.Signals | number | null; waited: Waited | undefined }> {
  const child = Bun.spawn([...bun, program("waiter.ts"), wait, signal], { stdout: "pipe", timeout: 20_000 * patience });
  while (child.exitCode === null && child.signalCode === null && !isWaiting(child.pid)) await Bun.sleep(1);
  // Long enough for the thread to be asleep in the call rather than on its way.
  await Bun.sleep(5);
  child.kill(signal);
  const lines = (await child.stdout.text()).trim().split("\n");
  await child.exited;
  const last = lines.at(-1) ?? "";
  return {
    exitCode: child.exitCode,
    signal: child.signalCode,
    waited: last.startsWith("{") ? (JSON.parse(last) as Waited) : undefined,
  };
}
