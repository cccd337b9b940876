/** Memory that lives for one call. */
import { addressOf, type Memory } from "../memory.ts";

/** More than any one call is given. */
const KEPT = 16;

const kept: unknown[] = new Array<unknown>(KEPT).fill(null);
let next = 0;

/**
 * @internal The address of memory that a call reads or fills in before it returns, and nobody afterwards. It is kept until
 * as many others were asked for: a variable that nothing reads again keeps nothing, not even for the rest of its line.
 */
export function transientAddress(memory: Memory): number {
  kept[next] = memory;
  next = (next + 1) % KEPT;
  return addressOf(memory);
}
