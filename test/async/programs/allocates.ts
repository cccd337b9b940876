// How many bytes a request by ticket takes: reads into pooled memory, 64 in flight, handlers that make the next one.
import { heapStats } from "bun:jsc";
import { openSync } from "node:fs";
import { AsyncRing } from "../../../src/async/asyncring.ts";
import { Mapping } from "../../../src/memory.ts";

const ring = new AsyncRing({ maxPerTurn: 2 ** 20 });
const fd = openSync(import.meta.path, "r");
const memory = Mapping.anonymous(64 * 4096);
const sink: { value: unknown } = { value: undefined };
const count = 64_000;
let left = 0;
let over: () => void = () => undefined;
let allocate = false;

const tickets = Array.from({ length: 64 }, (_, i) => {
  const buffer = memory.bytes.subarray(i * 4096, (i + 1) * 4096);
  return {
    buffer,
    ticket: ring.ticket((res, self) => {
      if (res <= 0) throw new Error(`a read ended with ${res}`);
      if (allocate) sink.value = { res };
      if (--left >= 64) self.read(fd, buffer, 0);
      else if (left === 0) over();
    }),
  };
});

/** Bytes of heap that each of `count` requests takes. */
async function measure(withControl: boolean): Promise<number> {
  allocate = withControl;
  left = count;
  const { promise, resolve } = Promise.withResolvers<void>();
  over = resolve;
  Bun.gc(true);
  const before = heapStats().heapCapacity;
  for (const { ticket, buffer } of tickets) ticket.read(fd, buffer, 0);
  await promise;
  return (heapStats().heapCapacity - before) / count;
}

for (let round = 0; round < 4; round++) await measure(round % 2 === 0);
let bytes = Infinity;
let control = Infinity;
for (let round = 0; round < 4; round++) {
  bytes = Math.min(bytes, await measure(false));
  control = Math.min(control, await measure(true));
}
console.log(JSON.stringify({ bytes, control }));
process.exit(0);
