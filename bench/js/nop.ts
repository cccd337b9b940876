// NOP round trips on the low road: nop.ts modern|plain. Says its setup flags first; the case is the batch size.
import { Ring } from "bun-uring";

import { type Case, serve } from "./serve.ts";

const ring = new Ring(256, process.argv[2] === "modern" ? { modern: true } : {});
console.log(ring.setup.flags);

/** One batch: the sum of what came back as userData, which the caller knows beforehand. */
function roundTrip(batch: number, first: number): number {
  for (let i = 0; i < batch; i++) ring.prepNop().userData(first + i);
  ring.submitAndWait(batch);
  let sum = 0;
  for (let cqe = ring.peekCqe(); cqe !== null; cqe = ring.nextCqe()) {
    if (cqe.res < 0) throw cqe.error("IORING_OP_NOP");
    sum += cqe.userData;
  }
  return sum;
}

function work(batch: number): Case {
  return {
    check(): void {
      for (let first = 1; first < 1000; first += 7) {
        const want = batch * first + (batch * (batch - 1)) / 2;
        const got = roundTrip(batch, first);
        if (got !== want) throw new Error(`${batch} NOPs from ${first} added up to ${got} in place of ${want}`);
      }
    },
    chunk(): number {
      const rounds = 1024 / batch;
      let sum = 0;
      for (let i = 0; i < rounds; i++) sum += roundTrip(batch, i);
      const want = (batch * rounds * (rounds - 1)) / 2 + (rounds * batch * (batch - 1)) / 2;
      if (sum !== want) throw new Error(`NOPs added up to ${sum} in place of ${want}`);
      return rounds * batch;
    },
  };
}

await serve(Object.fromEntries([1, 8, 64, 256].map((batch) => [String(batch), work(batch)])));
