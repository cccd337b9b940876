// Which blocks the reading contestants read, in which order: the same in TypeScript and in bench/c/read.c.

import { fstatSync } from "node:fs";

/** Bytes of a block. */
export const blockBytes = 4096;

/** How many positions the sequence has before it begins again. */
export const positions = 4096;

/** Random block numbers of an open file, from a fixed seed. */
export function randomBlocks(fd: number): Int32Array {
  const blocks = Math.floor(fstatSync(fd).size / blockBytes);
  const sequence = new Int32Array(positions);
  let seed = 1;
  for (let i = 0; i < positions; i++) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    sequence[i] = (seed >>> 8) % blocks;
  }
  return sequence;
}
