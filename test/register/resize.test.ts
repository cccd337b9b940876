/** Resizing: what is there stays, what comes fits, and what the kernel would spoil is refused. */
import { describe, expect, test } from "bun:test";
import { closeSync, readFileSync, writeSync } from "node:fs";
import { type Cqe, EOVERFLOW, IORING_NOP_CQE32, quirks, Ring } from "../../src/index.ts";
import type { RingOptions } from "../../src/ring/params.ts";
import { resizeKeepsWide } from "../../src/ring/quirks.ts";
import { complete } from "../support/complete.ts";
import { pipe, scratchDirectory } from "../support/files.ts";
import { deferred, needsRegister, reap, reapAtLeast, type Seen } from "./support.ts";

const scratch = scratchDirectory();
const resizing = needsRegister("IORING_REGISTER_RESIZE_RINGS");
const mixed = needsRegister(["IORING_REGISTER_RESIZE_RINGS", "IORING_SETUP_CQE_MIXED"], ["IORING_NOP_CQE32"]);

const state = { name: "Error", code: "ERR_URING_STATE" } as const;
const value = { name: "RangeError", code: "ERR_URING_ARG_VALUE" } as const;

const shapes: readonly RingOptions[] = [
  {},
  { noSqarray: true },
  { taskrunFlag: true },
  { submitAll: true },
  { sqe128: true },
  { sqe128: true, noSqarray: true },
  { noMmap: true },
  { noMmap: true, noSqarray: true },
  { noMmap: true, registeredFdOnly: true },
  { modern: true },
];

/** What `count` NOPs complete with whose user data starts at `from`. */
function nops(from: number, count: number): Seen[] {
  return Array.from({ length: count }, (_, i) => [from + i, 0]);
}

/** Queues and submits them. */
function submitNops(ring: Ring, from: number, count: number): void {
  for (let i = 0; i < count; i++) ring.prepNop().userData(from + i);
  expect(ring.submitAndGetEvents()).toBe(count);
}

describe("resizeRings()", () => {
  for (const shape of shapes) {
    resizing(`keeps the completions that are not seen yet, whatever the ring: ${JSON.stringify(shape)}`, () => {
      using ring = new Ring(4, { ...deferred, cqEntries: 8, ...shape });
      // Both counters go round the queues before anything is kept, so that nothing starts at the first place.
      for (let i = 0; i < 5; i++) {
        submitNops(ring, i, 1);
        expect(reap(ring)).toEqual([[i, 0]]);
      }
      submitNops(ring, 100, 3);
      ring.resizeRings({ sqEntries: 16, cqEntries: 64 });
      expect([ring.setup.sqEntries, ring.setup.cqEntries, ring.sqSpaceLeft()]).toEqual([16, 64, 16]);
      expect(reap(ring)).toEqual(nops(100, 3));
      // The whole of both queues can be used, more than once.
      for (let round = 0; round < 3; round++) {
        for (let batch = 0; batch < 4; batch++) submitNops(ring, 1000 * round + 16 * batch, 16);
        expect(reap(ring)).toEqual(nops(1000 * round, 64));
      }
      expect([ring.overflows, ring.cqDropped]).toEqual([0, 0]);
    });
  }

  resizing("makes queues smaller too", () => {
    using ring = new Ring(64, { ...deferred, cqEntries: 256 });
    submitNops(ring, 0, 50);
    ring.resizeRings({ sqEntries: 8 });
    expect([ring.setup.sqEntries, ring.setup.cqEntries]).toEqual([8, 256]);
    ring.resizeRings({ cqEntries: 64 });
    expect([ring.setup.sqEntries, ring.setup.cqEntries]).toEqual([8, 64]);
    expect(reap(ring)).toEqual(nops(0, 50));
    submitNops(ring, 200, 8);
    expect(reap(ring)).toEqual(nops(200, 8));
  });

  resizing("keeps requests in flight, and what they complete with", () => {
    using ring = new Ring(4, deferred);
    const own = pipe(scratch);
    const buffers = [Buffer.alloc(1), Buffer.alloc(1), Buffer.alloc(1)];
    buffers.forEach((buffer, i) => ring.prepRead(own.read, buffer, 0).userData(i));
    ring.submit();
    ring.resizeRings({ sqEntries: 32, cqEntries: 128 });
    writeSync(own.write, "abc");
    expect(reapAtLeast(ring, 3).sort()).toEqual([
      [0, 1],
      [1, 1],
      [2, 1],
    ]);
    expect(Buffer.concat(buffers).toString().split("").sort().join("")).toBe("abc");
    closeSync(own.read);
    closeSync(own.write);
  });

  resizing("keeps paths of requests prepared afterwards apart", () => {
    using ring = new Ring(2, deferred);
    ring.prepOpenat(-100, "/dev/null", 0, 0);
    closeSync(complete(ring));
    ring.resizeRings({ sqEntries: 16, cqEntries: 32 });
    const names = Array.from({ length: 16 }, (_, i) => (i % 2 === 0 ? "/dev/null" : `/nowhere/${i}`));
    names.forEach((name, i) => ring.prepOpenat(-100, name, 0, 0).userData(i));
    ring.submitAndWait(16);
    const opened = reap(ring).filter(([, res]) => res >= 0);
    for (const [, descriptor] of opened) closeSync(descriptor);
    expect(opened.map(([i]) => i).toSorted((a, b) => a - b)).toEqual([0, 2, 4, 6, 8, 10, 12, 14]);
  });

  resizing("can be done in the middle of a loop over completions", () => {
    using ring = new Ring(8, { ...deferred, cqEntries: 16 });
    submitNops(ring, 0, 6);
    const seen: number[] = [];
    ring.forEachCqe((cqe) => {
      seen.push(cqe.userData);
      if (seen.length === 3) ring.resizeRings({ sqEntries: 16, cqEntries: 32 });
    });
    expect(seen).toEqual([0, 1, 2, 3, 4, 5]);
    submitNops(ring, 10, 6);
    seen.length = 0;
    for (let cqe = ring.peekCqe(); cqe !== null; cqe = ring.nextCqe()) {
      seen.push(cqe.userData);
      if (seen.length === 2) ring.resizeRings({ sqEntries: 32, cqEntries: 64 });
      // The view stays on the completion that it was on.
      expect(cqe.userData).toBe(seen.at(-1) as number);
    }
    expect(seen).toEqual([10, 11, 12, 13, 14, 15]);
    expect(ring.cqReady()).toBe(0);
  });

  resizing("leaves views of one's own empty until they are filled again", () => {
    using ring = new Ring(8, { ...deferred, cqEntries: 16 });
    const views = [ring.newCqe(), ring.newCqe()];
    submitNops(ring, 0, 2);
    expect(ring.peekBatch(views)).toBe(2);
    ring.resizeRings({ sqEntries: 16, cqEntries: 32 });
    expect((views[0] as Cqe).res).toBeUndefined();
    expect(ring.peekBatch(views)).toBe(2);
    expect(views.map((view) => view.userData)).toEqual([0, 1]);
    ring.cqAdvance(2);
    expect(reap(ring)).toEqual([]);
  });

  resizing("keeps whether the eventfd is signalled", () => {
    using ring = new Ring(4, deferred);
    ring.cqEventfdEnabled = false;
    ring.resizeRings({ sqEntries: 8, cqEntries: 16 });
    expect(ring.cqEventfdEnabled).toBe(false);
  });

  resizing("gives back the memory it leaves: a ring grows and shrinks for as long as one likes", () => {
    using ring = new Ring(8, deferred);
    const mapped = (): number => Number(/^VmSize:\s+(\d+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]);
    for (let i = 0; i < 20; i++) ring.resizeRings({ sqEntries: i % 2 === 0 ? 4096 : 8, cqEntries: 16384 >> (i % 2) });
    const before = mapped();
    for (let i = 0; i < 200; i++) ring.resizeRings({ sqEntries: i % 2 === 0 ? 4096 : 8, cqEntries: 16384 >> (i % 2) });
    // Each of the larger ones is more than half a megabyte.
    expect(mapped() - before).toBeLessThan(20_000);
  });

  resizing("does nothing where the sizes are what they were", () => {
    using ring = new Ring(4, { ...deferred, cqEntries: 16 });
    ring.prepNop().userData(1);
    ring.resizeRings({});
    ring.resizeRings({ sqEntries: 3, cqEntries: 9 });
    expect([ring.setup.sqEntries, ring.setup.cqEntries]).toEqual([4, 16]);
    ring.submitAndWait(1);
    expect(reap(ring)).toEqual([[1, 0]]);
  });

  resizing("takes the most that is allowed with clamp, and refuses it without", () => {
    using ring = new Ring(4, deferred);
    expect(() => ring.resizeRings({ sqEntries: 32769 })).toThrow(expect.objectContaining(value));
    expect(() => ring.resizeRings({ cqEntries: 65537 })).toThrow(expect.objectContaining(value));
    ring.resizeRings({ sqEntries: 100_000, cqEntries: 100_000, clamp: true });
    expect([ring.setup.sqEntries, ring.setup.cqEntries]).toEqual([32768, 65536]);
    ring.prepNop().userData(4);
    ring.submitAndWait(1);
    expect(reap(ring)).toEqual([[4, 0]]);
  });

  resizing("says that what is there does not fit, and leaves it as it was", () => {
    using ring = new Ring(4, { ...deferred, cqEntries: 64 });
    for (let i = 0; i < 10; i++) submitNops(ring, 4 * i, 4);
    expect(() => ring.resizeRings({ cqEntries: 32 })).toThrow(
      expect.objectContaining({ errno: -EOVERFLOW, message: expect.stringContaining("do not fit") }),
    );
    expect([ring.setup.sqEntries, ring.setup.cqEntries]).toEqual([4, 64]);
    expect(reap(ring)).toEqual(nops(0, 40));
  });

  resizing("refuses sizes that cannot be, and entries that are not submitted", () => {
    using ring = new Ring(8, deferred);
    for (const sizes of [
      { sqEntries: 0 },
      { sqEntries: 1.5 },
      { cqEntries: Number.NaN },
      { sqEntries: 16, cqEntries: 8 },
    ]) {
      expect(() => ring.resizeRings(sizes)).toThrow(expect.objectContaining(value));
    }
    ring.prepNop();
    expect(() => ring.resizeRings({ sqEntries: 16 })).toThrow(expect.objectContaining(state));
    ring.submitAndWait(1);
    ring.resizeRings({ sqEntries: 16, cqEntries: 32 });
    expect(reap(ring)).toEqual([[0, 0]]);
  });

  test("refuses a ring that does not defer its work", () => {
    using ring = new Ring(8);
    expect(() => ring.resizeRings({ sqEntries: 16 })).toThrow(expect.objectContaining(state));
  });

  resizing("refuses a ring whose descriptor was closed", () => {
    using ring = new Ring(8, deferred);
    ring.registerRingFd();
    ring.closeRingFd();
    expect(() => ring.resizeRings({ sqEntries: 16, cqEntries: 32 })).toThrow(expect.objectContaining(state));
  });
});

describe("resizeRings() of completions of 32 bytes", () => {
  for (const shape of [{}, { noSqarray: true }, { noMmap: true }]) {
    resizing(`keeps those that are not seen yet, or refuses: ${JSON.stringify(shape)}`, () => {
      using ring = new Ring(8, { ...deferred, cqe32: true, ...shape });
      submitNops(ring, 0, 3);
      if (resizeKeepsWide()) ring.resizeRings({ cqEntries: 64 });
      else expect(() => ring.resizeRings({ cqEntries: 64 })).toThrow(expect.objectContaining(state));
      expect(reap(ring)).toEqual(nops(0, 3));
      ring.resizeRings({ cqEntries: 64 });
      submitNops(ring, 10, 8);
      submitNops(ring, 20, 8);
      expect(reap(ring)).toEqual([...nops(10, 8), ...nops(20, 8)]);
    });
  }

  mixed("keeps those of mixed sizes in a larger queue, and refuses a smaller one", () => {
    using ring = new Ring(8, { ...deferred, cqeMixed: true, cqEntries: 16 });
    const wide = (from: number, count: number): void => {
      for (let i = 0; i < count; i++) {
        ring.prepNopFlags(i % 2 === 0 ? IORING_NOP_CQE32 : 0).userData(from + i);
        ring.submitAndGetEvents();
      }
    };
    // The first round ends in the middle of the queue, so that the second goes round.
    wide(0, 5);
    expect(reap(ring)).toEqual(nops(0, 5));
    wide(10, 7);
    ring.resizeRings({ cqEntries: 64 });
    expect(() => ring.resizeRings({ cqEntries: 16 })).toThrow(expect.objectContaining(state));
    expect(reap(ring)).toEqual(nops(10, 7));
    ring.resizeRings({ cqEntries: 16 });
    wide(20, 5);
    expect(reap(ring)).toEqual(nops(20, 5));
  });
});

test("quirks names each defect with its source and what is done about it", () => {
  expect(quirks.length).toBeGreaterThan(3);
  expect(new Set(quirks.map(({ name }) => name)).size).toBe(quirks.length);
  for (const quirk of quirks) {
    expect(Object.values(quirk).every((text) => text === null || typeof text === "function" || text.length > 5)).toBe(
      true,
    );
    expect(quirk.kernels).toMatch(/\d+\.\d+/);
    if (quirk.present !== null) expect(quirk.present()).toBeBoolean();
  }
});
