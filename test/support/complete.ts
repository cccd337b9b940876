/** What a test does most: submit the one request it prepared, wait for it, and see what came of it. */
import { type Cqe, EINTR, type Ring } from "../../src/index.ts";
import { patience } from "./patience.ts";

/** The longest that a completion which must come is waited for: two seconds on a machine. */
const LIMIT_MS = 2000 * patience;

/** Submits what is queued and returns the result of the one completion that must come of it in time. */
export function complete(ring: Ring): number {
  return next(ring, 0).res;
}

/** A completion's numbers, copied out of the view. */
export interface Completion {
  res: number;
  flags: number;
  userData: number;
  more: boolean;
}

/**
 * Submits what is queued and waits for `n` completions, whoever interrupts: the engine stops this thread with a signal
 * of its own to look at its stack while it collects garbage elsewhere, and a wait then ends with EINTR. Null where the
 * time is up.
 */
export function awaited(ring: Ring, n: number = 1, timeoutMs: number = LIMIT_MS): Cqe | null {
  const until = performance.now() + timeoutMs;
  for (;;) {
    ring.submitAndWaitTimeout(n, Math.max(until - performance.now(), 0));
    // What has come since an interrupted wait returned counts as well.
    if (ring.cqReady() >= n || (ring.errno !== EINTR && performance.now() >= until)) return ring.peekCqe();
  }
}

/** Submits what is queued and takes the next completion, which must come in time, whatever it is. */
export function next(ring: Ring, timeoutMs: number = 0): Completion {
  const cqe = awaited(ring, 1, timeoutMs || LIMIT_MS);
  if (cqe === null) throw new Error(`no completion came (errno ${ring.errno})`);
  const { res, flags, userData, more } = cqe;
  ring.seenCqe();
  return { res, flags, userData, more };
}

/** Submits what is queued and takes `count` completions, in the order in which they came. */
export function several(ring: Ring, count: number): Completion[] {
  return Array.from({ length: count }, () => next(ring));
}
