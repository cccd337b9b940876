// A million requests in one loop, or as many as a small machine has memory for, and what is left of them afterwards.
import { totalmem } from "node:os";
import { AsyncRing } from "../../../src/async/asyncring.ts";

const ring = new AsyncRing({ entries: 256, maxInFlight: 1000 });
const count = totalmem() < 700e6 ? 200_000 : 1_000_000;

async function all(): Promise<void> {
  let done = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  for (let i = 0; i < count; i++) {
    void ring.nop().then(() => {
      if (++done === count) resolve();
    });
  }
  await promise;
}

Bun.gc(true);
const before = process.memoryUsage().heapUsed;
await all();
await Bun.sleep(10);
Bun.gc(true);
const bytesLeft = process.memoryUsage().heapUsed - before;
console.log(JSON.stringify({ ...ring.stats(), count, bytesLeft }));
