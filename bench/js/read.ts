// Random reads on the low road: read.ts FILE. A registered file and one registered buffer with a part for each read.
// Says its setup flags first; the case is how many are in flight.
import { openSync } from "node:fs";

import { Ring } from "bun-uring";

import { blockBytes, positions, randomBlocks } from "./blocks.ts";
import { type Case, serve } from "./serve.ts";

const slots = 32;
const fd = openSync(process.argv[2] ?? "", "r");
const sequence = randomBlocks(fd);
const memory = new Uint8Array(slots * blockBytes);
const words = new Uint32Array(memory.buffer);
const parts = Array.from({ length: slots }, (_, i) => memory.subarray(i * blockBytes, (i + 1) * blockBytes));
const ring = new Ring(64, { modern: true });
ring.registerBuffers([memory]);
ring.registerFiles([fd]);
console.log(ring.setup.flags);

let cursor = 0;

/** Reads `batch` blocks and returns the sum of the block numbers that stand at the head of each. */
function readBlocks(batch: number): number {
  for (let i = 0; i < batch; i++) {
    const block = sequence[cursor++ & (positions - 1)] as number;
    ring
      .prepReadFixed(0, parts[i] as Uint8Array, block * blockBytes, 0)
      .fixedFile()
      .userData(i);
  }
  ring.submitAndWait(batch);
  let sum = 0;
  for (let cqe = ring.peekCqe(); cqe !== null; cqe = ring.nextCqe()) {
    if (cqe.res !== blockBytes) throw cqe.error("IORING_OP_READ_FIXED");
    sum += words[cqe.userData * (blockBytes / 4)] as number;
  }
  return sum;
}

function work(batch: number): Case {
  return {
    check(): void {
      for (let round = 0; round < 64; round++) {
        let want = 0;
        for (let i = 0; i < batch; i++) want += sequence[(cursor + i) & (positions - 1)] as number;
        const got = readBlocks(batch);
        if (got !== want) throw new Error(`the blocks read added up to ${got} in place of ${want}`);
      }
    },
    chunk(): number {
      for (let i = 0; i < 1024 / batch; i++) readBlocks(batch);
      return 1024;
    },
  };
}

await serve({ "1": work(1), "32": work(32) });
