// What entries can be told about each other: links, hard links, drains; silence on success; other credentials.
import { describe, expect, test } from "bun:test";
import { closeSync, constants, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { ECANCELED, EISDIR, IORING_REGISTER_PERSONALITY, Ring } from "../../src/index.ts";
import { complete, several } from "../support/complete.ts";
import { openFile, pipe, scratchDirectory } from "../support/files.ts";
import { kept } from "../support/keep.ts";
import { needs } from "../support/kernel.ts";
import { overLayouts, ringOf } from "../support/layouts.ts";

const scratch = scratchDirectory();

/** User data and result of the next completions, in the order in which they came. */
function pairs(ring: Ring, count: number): number[][] {
  return several(ring, count).map(({ userData, res }) => [userData, res]);
}

overLayouts(
  (layout) => {
    test("link() waits for the one before, and a failure cancels the rest of the chain", () => {
      using ring = ringOf(layout, 8);
      const { read, write } = pipe(scratch);
      const buffer = Buffer.alloc(2);
      ring.prepRead(read, buffer, 0).userData(1).link();
      ring.prepNop().userData(2);
      // Not of the chain: it does not wait.
      ring.prepNop().userData(3);
      expect(pairs(ring, 1)).toEqual([[3, 0]]);
      expect(ring.waitCqes(1, 5)).toBeNull();
      writeSync(write, "go");
      expect(pairs(ring, 2)).toEqual([
        [1, 2],
        [2, 0],
      ]);
      ring.prepRead(-1, buffer, 0).userData(1).link();
      ring.prepNop().userData(2).link();
      ring.prepNop().userData(3);
      ring.prepNop().userData(4);
      const results = Object.fromEntries(pairs(ring, 4)) as Record<number, number>;
      expect(results).toEqual({ 1: -9, 2: -ECANCELED, 3: -ECANCELED, 4: 0 });
      closeSync(read);
      closeSync(write);
    });

    test("hardlink() goes on whatever the result", () => {
      using ring = ringOf(layout, 8);
      // Kernel: before 5.18 a descriptor that there is not breaks a chain before it starts. A directory fails later.
      const fd = openSync(scratch, constants.O_RDONLY | constants.O_DIRECTORY);
      ring
        .prepRead(fd, kept(Buffer.alloc(1)), 0)
        .userData(1)
        .hardlink();
      ring.prepNop().userData(2);
      expect(Object.fromEntries(pairs(ring, 2))).toEqual({ 1: -EISDIR, 2: 0 });
      closeSync(fd);
    });

    test("drain() waits for all before it, and what follows waits for it", () => {
      using ring = ringOf(layout, 8);
      const { read, write } = pipe(scratch);
      ring.prepRead(read, kept(Buffer.alloc(8)), 0).userData(1);
      ring.prepNop().userData(2).drain();
      ring.prepNop().userData(3);
      ring.submit();
      expect(ring.waitCqes(1, 10)).toBeNull();
      writeSync(write, "x");
      const [first, ...rest] = pairs(ring, 3);
      expect(first).toEqual([1, 1]);
      // Kernel: what waited starts together; 6.1 begins with the last of it.
      expect(Object.fromEntries(rest)).toEqual({ 2: 0, 3: 0 });
      closeSync(read);
      closeSync(write);
    });
  },
  ["plain", "sqpoll", "modern", "noMmap"],
);

test("a short read breaks a link", () => {
  using ring = new Ring(8);
  const fd = openFile(scratch, "short", "12345");
  ring
    .prepRead(fd, kept(Buffer.alloc(10)), 0)
    .userData(1)
    .link();
  ring.prepNop().userData(2);
  expect(pairs(ring, 2)).toEqual([
    [1, 5],
    [2, -ECANCELED],
  ]);
  closeSync(fd);
});

describe("skipSuccess()", () => {
  needs("IORING_FEAT_CQE_SKIP")("posts nothing for a success, and a failure all the same", () => {
    using ring = new Ring(8);
    const fd = openFile(scratch, "silent", "silent");
    const buffer = Buffer.alloc(6);
    ring.prepRead(fd, buffer, 0).userData(1).skipSuccess();
    ring.prepNop().userData(2);
    expect(pairs(ring, 1)).toEqual([[2, 0]]);
    expect([buffer.toString(), ring.waitCqes(1, 5)]).toEqual(["silent", null]);
    ring.prepRead(-1, buffer, 0).userData(3).skipSuccess();
    expect(pairs(ring, 1)).toEqual([[3, -9]]);
    closeSync(fd);
  });

  needs("IORING_FEAT_CQE_SKIP")("leaves one completion for a chain", () => {
    using ring = new Ring(8);
    const path = join(scratch, "chained");
    writeFileSync(path, "");
    const fd = openSync(path, "r+");
    for (const [i, text] of ["one ", "two ", "three"].entries()) {
      const sqe = ring.prepWrite(fd, kept(Buffer.from(text)), i * 4).userData(i);
      if (i < 2) sqe.link().skipSuccess();
    }
    expect(pairs(ring, 1)).toEqual([[2, 5]]);
    expect([ring.waitCqes(1, 5), readFileSync(path, "utf8")]).toEqual([null, "one two three"]);
    closeSync(fd);
  });
});

test("async() does the same on a worker", () => {
  using ring = new Ring(8);
  const fd = openFile(scratch, "async", "worker");
  const buffer = Buffer.alloc(6);
  ring.prepRead(fd, buffer, 0).async();
  expect([complete(ring), buffer.toString()]).toEqual([6, "worker"]);
  closeSync(fd);
});

test("personality() issues an entry with registered credentials, and refuses those that are not", () => {
  using ring = new Ring(8);
  const path = join(scratch, "credentials");
  writeFileSync(path, "");
  const id = ring.register(IORING_REGISTER_PERSONALITY, 0, 0);
  expect(id).toBeGreaterThan(0);
  ring.prepOpen(path, constants.O_RDONLY).personality(id);
  const fd = complete(ring);
  expect(fd).toBeGreaterThan(2);
  closeSync(fd);
  ring.prepOpen(path, constants.O_RDONLY).personality(id + 1);
  expect(complete(ring)).toBe(-22);
});
