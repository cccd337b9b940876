/** The end of a connection that comes together with its last data, while the receiving thread looks at neither. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { listen } from "../../src/net/index.ts";
import { patience } from "../support/patience.ts";
import type { Rush } from "./programs/rush.ts";

const ROUNDS = 20;

test.each(["end", "reset"] as const)(
  "%s is seen",
  async (how) => {
    const counts = { open: 0, data: 0, close: 0 };
    const { promise: over, resolve } = Promise.withResolvers<void>();
    using listener = listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        open: () => void counts.open++,
        data: () => void counts.data++,
        close: () => void (++counts.close === ROUNDS && resolve()),
        error: () => undefined,
      },
    });
    const words = new Int32Array(new SharedArrayBuffer(8));
    const worker = new Worker(join(import.meta.dir, "programs", "rush.ts"));
    const rush: Rush = { to: { port: listener.port, host: "127.0.0.1" }, how, rounds: ROUNDS, words: words.buffer };
    worker.postMessage(rush);
    // Ordering: what the Worker did before it wrote the number is done.
    const isAt = (step: number): boolean => Atomics.load(words, 0) >= step;
    for (let round = 1; round <= ROUNDS; round++) {
      while (!isAt(round * 2 - 1) || counts.open < round) await Bun.sleep(1);
      // It is received from by now; and now nothing is looked at until the peer is gone, and the kernel has heard of it.
      await Bun.sleep(1);
      // Ordering: the Worker may go on as soon as it sees this.
      Atomics.store(words, 1, round);
      // The Worker may be at the next connection already.
      const limit = performance.now() + 2000 * patience;
      while (!isAt(round * 2) && performance.now() < limit);
      const start = performance.now();
      while (performance.now() - start < 2);
    }
    await Promise.race([over, Bun.sleep(2000 * patience)]);
    expect(counts).toEqual({ open: ROUNDS, data: ROUNDS, close: ROUNDS });
    worker.terminate();
  },
  20_000 * patience,
);
