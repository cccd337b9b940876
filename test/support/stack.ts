/**
 * A program that waits for no time at all on a stack full of numbers, long enough for every compiler to have had its
 * turn, and prints as one line of JSON on which way to the kernel it was and what the waits came to, by errno.
 */
import { Ring } from "../../src/index.ts";
import { syscalls } from "../../syscall/shim.ts";

/** What the waits came to. */
export interface Waits {
  backend: string;
  /** How many, by the ring's errno or the error's code. */
  outcomes: Record<string, number>;
}

/** Leaves numbers with every bit in use where later calls put their arguments. */
function fill(depth: number, a: number, b: number, c: number, d: number, e: number, f: number, g: number): number {
  if (depth === 0) return a * b + c * d + e * f + g;
  return fill(depth - 1, b * 1.1, c * 1.2, d * 1.3, e * 1.4, f * 1.5, g * 1.6, a * 1.7) + 1.5;
}

const ring = new Ring(4);
const outcomes: Record<string, number> = {};
for (let i = 0; i < 20_000; i++) {
  fill(i % 30, -1.5, -2.5e300, -3.5, -4.5e-300, -5.5, -1e9, -7.7);
  let outcome = "";
  try {
    ring.submitAndWaitTimeout(1, 0);
    outcome = String(ring.errno);
  } catch (error) {
    outcome = (error as { code: string }).code;
  }
  outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
}
ring.close();
const waits: Waits = { backend: syscalls().backend, outcomes };
console.log(JSON.stringify(waits));
