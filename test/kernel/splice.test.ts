// Splicing and teeing: bytes that never see this process.
import { expect, test } from "bun:test";
import { closeSync, readFileSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import { EBADF, EINVAL, Ring, SPLICE_F_FD_IN_FIXED } from "../../src/index.ts";
import { complete } from "../support/complete.ts";
import { openFile, pattern, pipe, scratchDirectory } from "../support/files.ts";
import { needs } from "../support/kernel.ts";

const scratch = scratchDirectory();
const at = (name: string): string => join(scratch, name);
const content = pattern(60_000);

const splice = needs("IORING_OP_SPLICE");
const tee = needs("IORING_OP_TEE");

splice("prepSplice() moves a file into a pipe and a pipe into a file, at their offsets", () => {
  using ring = new Ring(8);
  const { read, write } = pipe(scratch);
  const source = openFile(scratch, "source", content);
  const target = openFile(scratch, "target", "................");
  ring.prepSplice(source, 10_000, write, -1, 3000).link();
  ring.prepSplice(read, -1, target, 5, 3000);
  ring.submitAndWait(2);
  const moved: number[] = [];
  ring.forEachCqe((cqe) => moved.push(cqe.res));
  expect(moved).toEqual([3000, 3000]);
  const expected = Buffer.concat([Buffer.from("....."), content.subarray(10_000, 13_000)]);
  expect(readFileSync(at("target")).equals(expected)).toBe(true);
  for (const fd of [read, write, source, target]) closeSync(fd);
});

splice("prepSplice() of -1 goes by the file's own position, and ends with the file", () => {
  using ring = new Ring(8);
  const { read, write } = pipe(scratch);
  const source = openFile(scratch, "position", content.subarray(0, 5000));
  const buffer = Buffer.alloc(4000);
  for (const [from, count] of [
    [0, 4000],
    [4000, 1000],
  ] as const) {
    ring.prepSplice(source, -1, write, -1, 4000);
    expect(complete(ring)).toBe(count);
    expect(readSync(read, buffer)).toBe(count);
    expect(buffer.subarray(0, count).equals(content.subarray(from, from + count))).toBe(true);
  }
  ring.prepSplice(source, -1, write, -1, 4000);
  expect(complete(ring)).toBe(0);
  for (const fd of [read, write, source]) closeSync(fd);
});

splice("prepSplice() takes registered files on either side", () => {
  using ring = new Ring(8);
  const { read, write } = pipe(scratch);
  const source = openFile(scratch, "fixed", "registered");
  ring.registerFiles([source, write]);
  ring.prepSplice(0, 0, 1, -1, 100, SPLICE_F_FD_IN_FIXED).fixedFile();
  expect(complete(ring)).toBe(10);
  const buffer = Buffer.alloc(20);
  expect(buffer.toString("latin1", 0, readSync(read, buffer))).toBe("registered");
  ring.prepSplice(5, 0, 1, -1, 100, SPLICE_F_FD_IN_FIXED).fixedFile();
  expect(complete(ring)).toBe(-EBADF);
  for (const fd of [read, write, source]) closeSync(fd);
});

splice("prepSplice() refuses two files and offsets of pipes", () => {
  using ring = new Ring(8);
  const { read, write } = pipe(scratch);
  const [a, b] = [openFile(scratch, "a", "a"), openFile(scratch, "b", "b")];
  ring.prepSplice(a, 0, b, 0, 1);
  expect(complete(ring)).toBe(-EINVAL);
  ring.prepSplice(a, 0, write, 0, 1);
  expect(complete(ring)).toBe(-29);
  ring.prepSplice(a, 0, write, -1, 1, 0x100);
  expect(complete(ring)).toBe(-EINVAL);
  expect(readFileSync(at("b"), "utf8")).toBe("b");
  for (const fd of [read, write, a, b]) closeSync(fd);
});

tee("prepTee() copies a pipe's content and leaves it there", () => {
  using ring = new Ring(8);
  const [source, target] = [pipe(scratch), pipe(scratch)];
  writeSync(source.write, "twice");
  ring.prepTee(source.read, target.write, 100);
  expect(complete(ring)).toBe(5);
  for (const { read } of [source, target]) {
    const buffer = Buffer.alloc(20);
    expect(buffer.toString("latin1", 0, readSync(read, buffer))).toBe("twice");
  }
  ring.registerFiles([source.read]);
  writeSync(source.write, "again");
  ring.prepTee(0, target.write, 3, SPLICE_F_FD_IN_FIXED);
  expect(complete(ring)).toBe(3);
  const buffer = Buffer.alloc(20);
  expect(buffer.toString("latin1", 0, readSync(target.read, buffer))).toBe("aga");
  expect(buffer.toString("latin1", 0, readSync(source.read, buffer))).toBe("again");
  for (const { read, write } of [source, target]) {
    closeSync(read);
    closeSync(write);
  }
});

test("a file of many times a pipe's size goes through it whole", () => {
  using ring = new Ring(8);
  const { read, write } = pipe(scratch);
  const big = pattern(1_000_000, 9);
  const source = openFile(scratch, "big", big);
  const target = openFile(scratch, "copy");
  let done = 0;
  while (done < big.length) {
    ring.prepSplice(source, done, write, -1, 65_536);
    const filled = complete(ring);
    expect(filled).toBeGreaterThan(0);
    for (let emptied = 0; emptied < filled;) {
      ring.prepSplice(read, -1, target, done + emptied, filled - emptied);
      const moved = complete(ring);
      expect(moved).toBeGreaterThan(0);
      emptied += moved;
    }
    done += filled;
  }
  expect(readFileSync(at("copy")).equals(big)).toBe(true);
  for (const fd of [read, write, source, target]) closeSync(fd);
});
