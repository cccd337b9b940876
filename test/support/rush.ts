/**
 * A Worker that connects over and over, sends a byte and is gone at once, at a moment when this thread looks at nothing:
 * then the kernel hears of the end together with the data.
 */
import { join } from "node:path";
import { patience } from "./patience.ts";
import type { Rush } from "../net/programs/rush.ts";

/** How long this thread still looks at nothing when the peer is gone. */
const AFTER_MS = 2;

/** See above. */
export class Rusher implements Disposable {
  readonly #worker = new Worker(join(import.meta.dir, "../net/programs/rush.ts"));
  readonly #words = new Int32Array(new SharedArrayBuffer(8));

  /** Begins with its first connection. */
  constructor(to: Rush["to"], how: Rush["how"], rounds: number) {
    const rush: Rush = { to, how, rounds, words: this.#words.buffer };
    this.#worker.postMessage(rush);
  }

  #isAt(step: number): boolean {
    // Ordering: what the Worker did before it wrote the number is done.
    return Atomics.load(this.#words, 0) >= step;
  }

  /** Resolves when it is connected for the round of that number, from 1 on. */
  async connected(round: number): Promise<void> {
    while (!this.#isAt(round * 2 - 1)) await Bun.sleep(1);
  }

  /** Looks at nothing until it is gone, and the kernel has heard of it. */
  lookAway(round: number): void {
    // Ordering: the Worker may go on as soon as it sees this.
    Atomics.store(this.#words, 1, round);
    // The Worker may be at the next connection already.
    const limit = performance.now() + 2000 * patience;
    while (!this.#isAt(round * 2) && performance.now() < limit);
    const start = performance.now();
    while (performance.now() - start < AFTER_MS);
  }

  /** Ends it. */
  [Symbol.dispose](): void {
    this.#worker.terminate();
  }
}
