// Random reads as Bun offers them: readpeers.ts FILE readSync|read|fileHandle|bunFile. The case is how many are in flight.
import { openSync, read, readSync } from "node:fs";
import { open } from "node:fs/promises";

import { blockBytes, positions, randomBlocks } from "./blocks.ts";
import { type Case, serve } from "./serve.ts";

const [, , path = "", peer = ""] = process.argv;
const fd = openSync(path, "r");
const sequence = randomBlocks(fd);
const parts = Array.from({ length: 32 }, () => new Uint8Array(blockBytes));
const words = parts.map((part) => new Uint32Array(part.buffer));
const handle = await open(path, "r");
const file = Bun.file(path);

let cursor = 0;
let wrong = 0;

function next(): number {
  return sequence[cursor++ & (positions - 1)] as number;
}

/** A read is right when all of the block came, and it begins with its own number. */
function judge(bytes: number, number: number | undefined, block: number): void {
  if (bytes !== blockBytes || number !== block) wrong++;
}

function syncChunk(): number {
  for (let i = 0; i < 512; i++) {
    const block = next();
    judge(readSync(fd, parts[0] as Uint8Array, 0, blockBytes, block * blockBytes), words[0]?.[0], block);
  }
  return 512;
}

function callbackChunk(inFlight: number, count: number): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  let left = count;
  let toStart = count;
  function begin(slot: number): void {
    const block = next();
    toStart--;
    read(fd, parts[slot] as Uint8Array, 0, blockBytes, block * blockBytes, (error, bytes) => {
      if (error !== null) reject(error);
      judge(bytes, words[slot]?.[0], block);
      if (--left === 0) resolve(count);
      if (toStart > 0) begin(slot);
    });
  }
  for (let slot = 0; slot < inFlight; slot++) begin(slot);
  return promise;
}

async function handleLane(slot: number, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const block = next();
    const { bytesRead } = await handle.read(parts[slot] as Uint8Array, 0, blockBytes, block * blockBytes);
    judge(bytesRead, words[slot]?.[0], block);
  }
}

async function fileLane(_slot: number, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const block = next();
    const bytes = await file.slice(block * blockBytes, (block + 1) * blockBytes).arrayBuffer();
    judge(bytes.byteLength, new Uint32Array(bytes, 0, 1)[0], block);
  }
}

async function lanesChunk(lane: typeof handleLane, inFlight: number, count: number): Promise<number> {
  await Promise.all(Array.from({ length: inFlight }, (_, slot) => lane(slot, count / inFlight)));
  return count;
}

function work(inFlight: number): Case {
  const count = 8 * inFlight;
  const chunks: Record<string, () => number | Promise<number>> = {
    readSync: syncChunk,
    read: () => callbackChunk(inFlight, count),
    fileHandle: () => lanesChunk(handleLane, inFlight, count),
    bunFile: () => lanesChunk(fileLane, inFlight, count),
  };
  const chunk = chunks[peer];
  if (chunk === undefined) throw new RangeError(`Cannot run "${peer}": there is no such peer`);
  return {
    chunk,
    async check(): Promise<void> {
      for (let round = 0; round < 16; round++) await chunk();
      if (wrong > 0) throw new Error(`${wrong} reads were wrong`);
    },
  };
}

await serve({ "1": work(1), "32": work(32) });
