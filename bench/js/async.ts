// Random reads as promises: async.ts FILE. The case is how many are in flight, and whether by promise or by ticket.
import { openSync } from "node:fs";

import { AsyncRing } from "bun-uring";

import { blockBytes, positions, randomBlocks } from "./blocks.ts";
import { type Case, serve } from "./serve.ts";

const lanes = 32;
const ring = new AsyncRing();
const fd = openSync(process.argv[2] ?? "", "r");
const sequence = randomBlocks(fd);
const parts = Array.from({ length: lanes }, () => new Uint8Array(blockBytes));
const words = parts.map((part) => new Uint32Array(part.buffer));

let cursor = 0;
let wrong = 0;

function next(): number {
  return sequence[cursor++ & (positions - 1)] as number;
}

/** A read is right when all of the block came, and it begins with its own number. */
function judge(bytes: number, number: number | undefined, block: number): void {
  if (bytes !== blockBytes || number !== block) wrong++;
}

async function lane(slot: number, count: number): Promise<void> {
  const part = parts[slot] as Uint8Array;
  for (let i = 0; i < count; i++) {
    const block = next();
    judge(await ring.read(fd, part, block * blockBytes), words[slot]?.[0], block);
  }
}

async function promises(inFlight: number, count: number): Promise<number> {
  await Promise.all(Array.from({ length: inFlight }, (_, slot) => lane(slot, count / inFlight)));
  return count;
}

let left = 0;
let toStart = 0;
let over: () => void = () => undefined;
const blocks = new Int32Array(lanes);

function begin(slot: number): void {
  const block = (blocks[slot] = next());
  toStart--;
  tickets[slot]?.read(fd, parts[slot] as Uint8Array, block * blockBytes);
}

const tickets = parts.map((_, slot) =>
  ring.ticket((res) => {
    judge(res, words[slot]?.[0], blocks[slot] as number);
    if (--left === 0) over();
    else if (toStart > 0) begin(slot);
  }),
);

function byTicket(inFlight: number, count: number): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  left = toStart = count;
  over = () => resolve(count);
  for (let slot = 0; slot < inFlight; slot++) begin(slot);
  return promise;
}

function work(run: (inFlight: number, count: number) => Promise<number>, inFlight: number): Case {
  const count = 32 * inFlight;
  return {
    chunk: () => run(inFlight, count),
    async check(): Promise<void> {
      for (let round = 0; round < 16; round++) await run(inFlight, count);
      if (wrong > 0) throw new Error(`${wrong} reads were wrong`);
    },
  };
}

await serve({
  "promise-32": work(promises, 32),
  "promise-1": work(promises, 1),
  "ticket-32": work(byTicket, 32),
  "ticket-1": work(byTicket, 1),
});
