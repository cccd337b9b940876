/** Cancelling from outside the queue, and waiting until it has happened. */
import { afterAll, describe, expect, test } from "bun:test";
import { closeSync } from "node:fs";
import { EBADF, ECANCELED, IORING_OP_POLL_ADD, IORING_OP_READ, Ring, Timespec } from "../../src/index.ts";
import { pipe, scratchDirectory } from "../support/files.ts";
import { kept } from "../support/keep.ts";
import { needsThat } from "../support/kernel.ts";
import { overLayouts, ringOf } from "../support/layouts.ts";
import { needsRegister, reap, reapAtLeast, type Seen } from "./support.ts";

const scratch = scratchDirectory();
const one = pipe(scratch);
const other = pipe(scratch);
afterAll(() => [one.read, one.write, other.read, other.write].forEach((fd) => closeSync(fd)));

const value = { name: "RangeError", code: "ERR_URING_ARG_VALUE" } as const;
const type = { name: "TypeError", code: "ERR_URING_ARG_TYPE" } as const;
const cancelling = needsRegister("IORING_REGISTER_SYNC_CANCEL");
// Kernel: the same release brought operations as a key.
const byOperation = needsRegister("IORING_REGISTER_SYNC_CANCEL", ["IORING_OP_READ_MULTISHOT"]);

/** Kernel: 6.16 and 6.17 find nothing by a descriptor and user data at once. */
function findsByBoth(): boolean {
  using ring = new Ring(2);
  ring.prepRead(one.read, kept(Buffer.alloc(8)), 0).userData(1);
  ring.submit();
  return ring.registerSyncCancel({ fd: one.read, userData: 1, all: true }) === 1;
}
const byKeys =
  byOperation === test
    ? needsThat(findsByBoth(), "IORING_ASYNC_CANCEL_USERDATA beside a descriptor, Linux 6.18")
    : byOperation;

/** Reads from pipes that nobody writes to: user data 1 and 2 on the first, 3 on the other. */
function blocked(ring: Ring): void {
  const buffer = Buffer.alloc(8);
  ring.prepRead(one.read, buffer, 0).userData(1);
  ring.prepRead(one.read, buffer, 0).userData(2);
  ring.prepRead(other.read, buffer, 0).userData(3);
  ring.submit();
}

/** What is cancelled completes so. */
function cancelled(...userData: number[]): Seen[] {
  return userData.map((data) => [data, -ECANCELED]);
}

/** In the order of the user data: the kernel cancels in whatever order it finds. */
function sorted(seen: Seen[]): Seen[] {
  return seen.sort(([a], [b]) => a - b);
}

describe("registerSyncCancel()", () => {
  overLayouts(
    (layout) => {
      cancelling("cancels a read from a pipe by its user data, whose completion is there then", () => {
        using ring = ringOf(layout, 8);
        blocked(ring);
        if (layout.name.includes("sqpoll")) Bun.sleepSync(20);
        expect(ring.registerSyncCancel({ userData: 2 })).toBe(1);
        expect(reapAtLeast(ring, 1)).toEqual(cancelled(2));
        expect(ring.registerSyncCancel({ userData: 2 })).toBe(0);
        expect(ring.registerSyncCancel({ any: true, all: true })).toBe(2);
        expect(sorted(reapAtLeast(ring, 2))).toEqual(cancelled(1, 3));
      });
    },
    ["plain", "sqpoll", "coopTaskrun", "deferTaskrun", "deferTaskrun with taskrunFlag", "registeredFdOnly", "modern"],
  );

  cancelling("cancels all on a descriptor, or the first found", () => {
    using ring = new Ring(8);
    blocked(ring);
    expect(ring.registerSyncCancel({ fd: one.read })).toBe(1);
    expect(reapAtLeast(ring, 1).length).toBe(1);
    expect(ring.registerSyncCancel({ fd: one.read, all: true })).toBe(1);
    expect(ring.registerSyncCancel({ fd: one.read, all: true })).toBe(0);
    expect(ring.registerSyncCancel({ fd: other.read, all: true })).toBe(1);
    expect(reapAtLeast(ring, 2).map(([, res]) => res)).toEqual([-ECANCELED, -ECANCELED]);
  });

  cancelling("cancels what is on a registered file", () => {
    using ring = new Ring(8);
    ring.registerFiles([other.read, one.read]);
    ring
      .prepRead(1, kept(Buffer.alloc(8)), 0)
      .fixedFile()
      .userData(4);
    ring.submit();
    expect(ring.registerSyncCancel({ fd: 0, fixedFile: true, all: true })).toBe(0);
    expect(ring.registerSyncCancel({ fd: 1, fixedFile: true, all: true })).toBe(1);
    expect(reapAtLeast(ring, 1)).toEqual(cancelled(4));
    expect(() => ring.registerSyncCancel({ fd: 2, fixedFile: true })).toThrow(
      expect.objectContaining({ errno: -EBADF }),
    );
  });

  byKeys("cancels by operation, and by several keys at once", () => {
    using ring = new Ring(8);
    blocked(ring);
    ring.prepPollAdd(one.read, 1).userData(1);
    ring.submit();
    expect(ring.registerSyncCancel({ opcode: IORING_OP_POLL_ADD, all: true })).toBe(1);
    expect(reapAtLeast(ring, 1)).toEqual(cancelled(1));
    expect(ring.registerSyncCancel({ fd: other.read, userData: 1, all: true })).toBe(0);
    expect(ring.registerSyncCancel({ fd: one.read, userData: 1, all: true })).toBe(1);
    expect(reapAtLeast(ring, 1)).toEqual(cancelled(1));
    expect(ring.registerSyncCancel({ opcode: IORING_OP_READ, fd: other.read, userData: 3 })).toBe(1);
    expect(ring.registerSyncCancel({ opcode: IORING_OP_READ, all: true })).toBe(1);
    expect(sorted(reapAtLeast(ring, 2))).toEqual(cancelled(2, 3));
  });

  cancelling("cancels timeouts, and user data of 64 bits", () => {
    using ring = new Ring(8);
    ring.prepTimeout(kept(Timespec.ofMs(60_000))).userData(2n ** 64n - 5n);
    ring.submit();
    expect(ring.registerSyncCancel({ userData: 2n ** 64n - 6n })).toBe(0);
    expect(ring.registerSyncCancel({ userData: 2n ** 64n - 5n })).toBe(1);
    expect(ring.waitCqes(1, 2000)?.userDataBigInt).toBe(2n ** 64n - 5n);
  });

  cancelling("waits for a request that a worker is at, and says when the time was up", () => {
    using ring = new Ring(8);
    const own = pipe(scratch);
    // A worker reads from a pipe that nobody writes to. It is interrupted at once, and nothing is left to wait for.
    ring
      .prepRead(own.read, kept(Buffer.alloc(8)), 0)
      .async()
      .userData(6);
    ring.submit();
    Bun.sleepSync(20);
    expect([1, null]).toContain(ring.registerSyncCancel({ userData: 6 }, 2000));
    const [seen] = reapAtLeast(ring, 1);
    expect(seen?.[0]).toBe(6);
    expect(seen?.[1]).toBeLessThan(0);
    closeSync(own.read);
    closeSync(own.write);
  });

  cancelling("finds nothing on a ring where nothing is", () => {
    using ring = new Ring(8);
    expect(ring.registerSyncCancel({ any: true })).toBe(0);
    expect(ring.registerSyncCancel({ userData: 0 })).toBe(0);
    expect(reap(ring)).toEqual([]);
  });

  test("refuses matches that say nothing or contradict themselves", () => {
    using ring = new Ring(8);
    expect(() => ring.registerSyncCancel({})).toThrow(expect.objectContaining(type));
    expect(() => ring.registerSyncCancel({ all: true })).toThrow(expect.objectContaining(type));
    expect(() => ring.registerSyncCancel({ any: true, userData: 1 })).toThrow(expect.objectContaining(type));
    expect(() => ring.registerSyncCancel({ userData: 1, fixedFile: true })).toThrow(expect.objectContaining(type));
    expect(() => ring.registerSyncCancel({ userData: -1 })).toThrow(expect.objectContaining(value));
    expect(() => ring.registerSyncCancel({ fd: 1.5 })).toThrow(expect.objectContaining(value));
    expect(() => ring.registerSyncCancel({ opcode: 256 })).toThrow(expect.objectContaining(value));
    expect(() => ring.registerSyncCancel({ userData: 1 }, -1)).toThrow(expect.objectContaining(value));
    expect(() => ring.registerSyncCancel({ userData: 1 }, Number.NaN)).toThrow(expect.objectContaining(value));
  });
});
