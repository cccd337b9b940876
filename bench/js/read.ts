// Random reads on the low road: read.ts FILE. A registered file and the buffers of a pool, which are registered as one.
// Says its setup flags first; the case is how many are in flight.
import { openSync } from "node:fs";

import { BufferPool, type PoolBuffer, Ring } from "bun-uring";

import { blockBytes, positions, randomBlocks } from "./blocks.ts";
import { type Case, serve } from "./serve.ts";

const slots = 32;
const fd = openSync(process.argv[2] ?? "", "r");
const sequence = randomBlocks(fd);
const ring = new Ring(64, { modern: true });
const pool = new BufferPool(ring, { count: slots, size: blockBytes });
const buffers = Array.from({ length: slots }, () => pool.take() as PoolBuffer);
const words = buffers.map(({ bytes }) => new Uint32Array(bytes.buffer, bytes.byteOffset, 1));
ring.registerFiles([fd]);
console.log(ring.setup.flags);

let cursor = 0;

/** Reads `batch` blocks and returns the sum of the block numbers that stand at the head of each. */
function readBlocks(batch: number): number {
  for (let i = 0; i < batch; i++) {
    const block = sequence[cursor++ & (positions - 1)] as number;
    const buffer = buffers[i] as PoolBuffer;
    ring
      .prepReadFixed(0, buffer, block * blockBytes, buffer.bufIndex)
      .fixedFile()
      .userData(i);
  }
  ring.submitAndWait(batch);
  let sum = 0;
  for (let cqe = ring.peekCqe(); cqe !== null; cqe = ring.nextCqe()) {
    if (cqe.res !== blockBytes) throw cqe.error("IORING_OP_READ_FIXED");
    sum += words[cqe.userData]?.[0] as number;
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
