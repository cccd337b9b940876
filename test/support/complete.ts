/** What a test does most: submit the one request it prepared, wait for it, and see what came of it. */
import type { Cqe, Ring } from "../../src/index.ts";

/** Submits what is queued and returns the result of the one completion that must come of it within two seconds. */
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

/** Submits what is queued and takes the next completion, which must come within two seconds, whatever it is. */
export function next(ring: Ring, timeoutMs: number = 0): Completion {
  const cqe = ring.submitAndWaitTimeout(1, timeoutMs || 2000);
  if (cqe === null) throw new Error(`no completion came (errno ${ring.errno})`);
  const { res, flags, userData, more } = cqe as Cqe;
  ring.seenCqe();
  return { res, flags, userData, more };
}

/** Submits what is queued and takes `count` completions, in the order in which they came. */
export function several(ring: Ring, count: number): Completion[] {
  return Array.from({ length: count }, () => next(ring));
}
