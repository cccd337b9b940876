/** Registered files: tags, updates, and where the kernel picks new ones. */
import { afterAll, describe, expect, test } from "bun:test";
import { closeSync, openSync, writeSync } from "node:fs";
import { EBADF, EINVAL, ENFILE, IORING_FILE_INDEX_ALLOC, IORING_REGISTER_FILES_SKIP, Ring } from "../../src/index.ts";
import { complete } from "../support/complete.ts";
import { openFile, pattern, pipe, scratchDirectory } from "../support/files.ts";
import { needsRegister, reap, reapAtLeast } from "./support.ts";

const scratch = scratchDirectory();
const first = openFile(scratch, "first", pattern(4096, 1));
const second = openFile(scratch, "second", pattern(4096, 2));
afterAll(() => [first, second].forEach((fd) => closeSync(fd)));

const state = { name: "Error", code: "ERR_URING_STATE" } as const;
const value = { name: "RangeError", code: "ERR_URING_ARG_VALUE" } as const;
const type = { name: "TypeError", code: "ERR_URING_ARG_TYPE" } as const;

/** Which of the two files stands at an index: its number, or the failure. */
function fileAt(ring: Ring, index: number): number {
  const buffer = Buffer.alloc(4096);
  ring.prepRead(index, buffer, 0).fixedFile();
  const result = complete(ring);
  if (result !== buffer.length) return result;
  return [1, 2].findIndex((seed) => buffer.equals(pattern(4096, seed))) + 1;
}

const tagged = needsRegister(["IORING_REGISTER_FILES2", "IORING_REGISTER_FILES_UPDATE2"]);

describe("registerFilesTags()", () => {
  // Kernel: 6.12 and older post tags of what is replaced, and none when the whole table goes; 6.16 does, and 6.13 brought
  // RESIZE_RINGS.
  const leaving = needsRegister(["IORING_REGISTER_FILES2", "IORING_REGISTER_RESIZE_RINGS"]);
  leaving("posts each tag but 0 when the table goes", () => {
    using ring = new Ring(8);
    ring.registerFilesTags([first, -1, second, second], [31, 0, 2 ** 53 - 1, 0]);
    expect(ring.registeredFiles).toBe(4);
    expect([fileAt(ring, 0), fileAt(ring, 1), fileAt(ring, 2)]).toEqual([1, -EBADF, 2]);
    expect(reap(ring)).toEqual([]);
    ring.unregisterFiles();
    expect(reapAtLeast(ring, 2).sort()).toEqual([
      [31, 0],
      [2 ** 53 - 1, 0],
    ]);
  });

  // Kernel: before 6.13, which also brought RESIZE_RINGS, unregistering waits for the requests.
  const outliving = needsRegister(["IORING_REGISTER_FILES2", "IORING_REGISTER_RESIZE_RINGS"]);
  outliving("posts a tag only when no request uses the file any more", () => {
    using ring = new Ring(8);
    const own = pipe(scratch);
    ring.registerFilesTags(Int32Array.of(own.read), [7]);
    const buffer = Buffer.alloc(8);
    ring.prepRead(0, buffer, 0).fixedFile().userData(8);
    ring.submit();
    ring.unregisterFiles();
    expect(reap(ring)).toEqual([]);
    writeSync(own.write, "x");
    expect(reapAtLeast(ring, 2)).toEqual([
      [8, 1],
      [7, 0],
    ]);
    closeSync(own.read);
    closeSync(own.write);
  });

  test("refuses tags that do not fit the files, and a second table", () => {
    using ring = new Ring(8);
    expect(() => ring.registerFilesTags([first], [])).toThrow(expect.objectContaining(value));
    expect(() => ring.registerFilesTags([first], [-1])).toThrow(expect.objectContaining(value));
    expect(() => ring.registerFilesTags([first], [{} as number])).toThrow(expect.objectContaining(type));
    expect(() => ring.registerFilesTags([], [])).toThrow(expect.objectContaining(value));
    expect(() => ring.registerFilesTags([-5], [1])).toThrow(expect.objectContaining(value));
    expect(ring.registeredFiles).toBe(0);
    ring.registerFiles([first]);
    expect(() => ring.registerFilesTags([first], [1])).toThrow(expect.objectContaining(state));
  });
});

describe("registerFilesUpdateTag()", () => {
  tagged("replaces files, posts the tags of the old ones, and has tags for the new", () => {
    using ring = new Ring(8);
    ring.registerFilesTags([first, first, first], [41, 42, 43]);
    expect(ring.registerFilesUpdateTag(1, [second], [44])).toBe(1);
    expect(reapAtLeast(ring, 1)).toEqual([[42, 0]]);
    expect([fileAt(ring, 0), fileAt(ring, 1)]).toEqual([1, 2]);
    expect(ring.registerFilesUpdateTag(0, [IORING_REGISTER_FILES_SKIP, -1, second], [0, 0, 45])).toBe(3);
    expect(reapAtLeast(ring, 2).sort()).toEqual([
      [43, 0],
      [44, 0],
    ]);
    expect([fileAt(ring, 0), fileAt(ring, 1), fileAt(ring, 2)]).toEqual([1, -EBADF, 2]);
  });

  tagged("refuses tags that are not as many, a tag for an empty place, and indices past the table", () => {
    using ring = new Ring(8);
    expect(() => ring.registerFilesUpdateTag(0, [first], [1])).toThrow(expect.objectContaining(state));
    ring.registerFiles([first]);
    expect(() => ring.registerFilesUpdateTag(0, [first], [])).toThrow(expect.objectContaining(value));
    expect(() => ring.registerFilesUpdateTag(1, [first], [1])).toThrow(expect.objectContaining(value));
    expect(() => ring.registerFilesUpdateTag(0, [-1], [1])).toThrow(expect.objectContaining({ errno: -EINVAL }));
    expect(fileAt(ring, 0)).toBe(1);
  });
});

describe("registerFileAllocRange()", () => {
  const ranged = needsRegister("IORING_REGISTER_FILE_ALLOC_RANGE");

  /** Opens a file at the place that the kernel picks: the place. */
  const open = (ring: Ring): number => {
    ring.prepOpenatDirect(-100, "/dev/null", 0, 0, IORING_FILE_INDEX_ALLOC);
    return complete(ring);
  };

  ranged("has the kernel pick from the range only, until it is full", () => {
    using ring = new Ring(8);
    ring.registerFilesSparse(8);
    ring.registerFileAllocRange(5, 2);
    expect([open(ring), open(ring)].sort()).toEqual([5, 6]);
    expect(open(ring)).toBe(-ENFILE);
    ring.registerFileAllocRange(0, 8);
    expect([0, 1, 2, 3, 4, 7]).toContain(open(ring));
    ring.registerFileAllocRange(3, 0);
    expect(open(ring)).toBe(-ENFILE);
    // A place that is named can be anywhere.
    ring.prepOpenatDirect(-100, "/dev/null", 0, 0, 7);
    expect(complete(ring)).toBe(0);
  });

  test("refuses ranges past the table, and a ring without one", () => {
    using ring = new Ring(8);
    expect(() => ring.registerFileAllocRange(0, 1)).toThrow(expect.objectContaining(state));
    ring.registerFilesSparse(4);
    expect(() => ring.registerFileAllocRange(2, 3)).toThrow(expect.objectContaining(value));
    expect(() => ring.registerFileAllocRange(-1, 1)).toThrow(expect.objectContaining(value));
    expect(() => ring.registerFileAllocRange(0, 1.5)).toThrow(expect.objectContaining(value));
  });
});

test("a registered file outlives its descriptor", () => {
  using ring = new Ring(8);
  const fd = openSync(`${scratch}/second`, "r");
  ring.registerFiles([fd]);
  closeSync(fd);
  expect(fileAt(ring, 0)).toBe(2);
});
