/** Registered files: their table, its updates, and what a request that names one gets. */
import { afterAll, describe, expect, test } from "bun:test";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { EBADF, IORING_REGISTER_FILES_SKIP, Ring } from "../../src/index.ts";
import { complete } from "../support/complete.ts";
import { openFile, pattern, scratchDirectory } from "../support/files.ts";
import { kept } from "../support/keep.ts";
import { overLayouts, ringOf } from "../support/layouts.ts";

const scratch = scratchDirectory();
const content = pattern(4096);
const other = pattern(4096, 77);
const fds = [openFile(scratch, "a", content), openFile(scratch, "b", other)] as const;

afterAll(() => fds.forEach((fd) => closeSync(fd)));

const state = { name: "Error", code: "ERR_URING_STATE" } as const;

/** Reads the first bytes of the registered file at an index; or what the kernel said. */
function readAt(ring: Ring, index: number): Buffer | number {
  const buffer = Buffer.alloc(256);
  ring.prepRead(index, buffer, 0).fixedFile();
  const res = complete(ring);
  return res < 0 ? res : buffer;
}

const [a, b] = [content.subarray(0, 256), other.subarray(0, 256)];

overLayouts(
  (layout) => {
    test("registerFiles() lets requests name a file by its index", () => {
      using ring = ringOf(layout, 4);
      expect(ring.registeredFiles).toBe(0);
      ring.registerFiles([fds[0], -1, fds[1]]);
      expect(ring.registeredFiles).toBe(3);
      expect(readAt(ring, 0)).toEqual(a);
      expect(readAt(ring, 2)).toEqual(b);
      expect([readAt(ring, 1), readAt(ring, 3)]).toEqual([-EBADF, -EBADF]);
      ring.unregisterFiles();
      expect([ring.registeredFiles, readAt(ring, 0)]).toEqual([0, -EBADF]);
    });
  },
  ["plain", "sqpoll", "modern", "registeredFdOnly", "cqeMixed"],
);

describe("registerFiles()", () => {
  test("keeps the file open when its descriptor is closed", () => {
    using ring = new Ring(4);
    const fd = openSync(join(scratch, "a"), "r");
    ring.registerFiles(Int32Array.of(fd));
    closeSync(fd);
    expect(readAt(ring, 0)).toEqual(a);
  });

  test("is refused twice, and unregisterFiles() without a table", () => {
    using ring = new Ring(4);
    expect(() => ring.unregisterFiles()).toThrow(expect.objectContaining(state));
    ring.registerFiles([fds[0]]);
    expect(() => ring.registerFiles([fds[1]])).toThrow(expect.objectContaining(state));
    expect(() => ring.registerFilesSparse(4)).toThrow(expect.objectContaining(state));
    expect([ring.registeredFiles, readAt(ring, 0)]).toEqual([1, a]);
    ring.unregisterFiles();
    expect(() => ring.unregisterFiles()).toThrow(expect.objectContaining(state));
    ring.registerFiles([fds[1]]);
    expect(readAt(ring, 0)).toEqual(b);
  });

  const bad: [string, unknown, string][] = [
    ["a number", 5, "ERR_URING_ARG_TYPE"],
    ["null", null, "ERR_URING_ARG_TYPE"],
    ["another typed array", Float64Array.of(1), "ERR_URING_ARG_TYPE"],
    ["an empty list", [], "ERR_URING_ARG_VALUE"],
    ["a fraction in the list", [1.5], "ERR_URING_ARG_VALUE"],
    ["a number past 32 bits", [2 ** 31], "ERR_URING_ARG_VALUE"],
    ["a string in the list", ["1"], "ERR_URING_ARG_TYPE"],
    ["a hole in the list", [undefined], "ERR_URING_ARG_TYPE"],
  ];
  test.each(bad)("refuses %s, and has no table afterwards", (_name, files, code) => {
    using ring = new Ring(4);
    expect(() => ring.registerFiles(files as number[])).toThrow(expect.objectContaining({ code }));
    expect(ring.registeredFiles).toBe(0);
    ring.registerFiles([fds[0]]);
    expect(readAt(ring, 0)).toEqual(a);
  });

  test("of a descriptor that is not open says EBADF, and has no table afterwards", () => {
    using ring = new Ring(4);
    expect(() => ring.registerFiles([fds[0], 1_000_000])).toThrow(
      expect.objectContaining({ code: "EBADF", errno: -EBADF, syscall: "IORING_REGISTER_FILES" }),
    );
    expect(ring.registeredFiles).toBe(0);
    ring.registerFiles([fds[0]]);
  });
});

describe("registerFilesSparse()", () => {
  test("makes empty places, which updates fill and empty", () => {
    using ring = new Ring(4);
    ring.registerFilesSparse(16);
    expect([ring.registeredFiles, readAt(ring, 9)]).toEqual([16, -EBADF]);
    expect(ring.registerFilesUpdate(9, [fds[1], fds[0]])).toBe(2);
    expect([readAt(ring, 9), readAt(ring, 10), readAt(ring, 8)]).toEqual([b, a, -EBADF]);
    expect(ring.registerFilesUpdate(9, Int32Array.of(-1))).toBe(1);
    expect([readAt(ring, 9), readAt(ring, 10)]).toEqual([-EBADF, a]);
  });

  test.each([0, -1, 2.5, 2 ** 20 + 1, Number.NaN, "4" as unknown as number])("refuses %p places", (count) => {
    using ring = new Ring(4);
    expect(() => ring.registerFilesSparse(count)).toThrow(
      expect.objectContaining({ code: expect.stringMatching(/^ERR_URING_ARG_/) }),
    );
    expect(ring.registeredFiles).toBe(0);
  });
});

describe("registerFilesUpdate()", () => {
  test("leaves a place that is skipped", () => {
    using ring = new Ring(4);
    ring.registerFiles([fds[0], fds[0], fds[0]]);
    expect(ring.registerFilesUpdate(0, [fds[1], IORING_REGISTER_FILES_SKIP, fds[1]])).toBe(3);
    expect([readAt(ring, 0), readAt(ring, 1), readAt(ring, 2)]).toEqual([b, a, b]);
  });

  test("refuses what is out of the table or no table, and changes nothing", () => {
    using ring = new Ring(4);
    expect(() => ring.registerFilesUpdate(0, [fds[0]])).toThrow(expect.objectContaining(state));
    ring.registerFiles([fds[0], fds[0]]);
    for (const [offset, files] of [
      [2, [fds[1]]],
      [1, [fds[1], fds[1]]],
      [-1, [fds[1]]],
      [0.5, [fds[1]]],
      [0, []],
      [0, [fds[1], 1.5]],
      [0, [-3]],
    ] as const) {
      expect(() => ring.registerFilesUpdate(offset, [...files])).toThrow(
        expect.objectContaining({ name: "RangeError", code: "ERR_URING_ARG_VALUE" }),
      );
    }
    expect([readAt(ring, 0), readAt(ring, 1)]).toEqual([a, a]);
    expect(() => ring.registerFilesUpdate(0, [1_000_000])).toThrow(expect.objectContaining({ code: "EBADF" }));
  });
});

test("fixedFile() writes to the file behind the index, not to the descriptor of that number", () => {
  using ring = new Ring(4);
  const own = openFile(scratch, "written", "................");
  ring.registerFiles([-1, own]);
  // Descriptor 1 is standard output.
  ring.prepWrite(1, kept(Buffer.from("fixed")), 3).fixedFile();
  expect(complete(ring)).toBe(5);
  expect(readFileSync(join(scratch, "written"), "utf8")).toBe("...fixed........");
  closeSync(own);
});
