/** A ring's names: its descriptor, its registered index, and what is left when the descriptor is closed. */
import { afterAll, describe, expect, test } from "bun:test";
import { closeSync, fstatSync, writeSync } from "node:fs";
import { descriptors, isRing } from "../support/descriptors.ts";
import { BufferPool, BufferRing, getProbe, IORING_FEAT_REG_REG_RING, Ring } from "../../src/index.ts";
import { complete } from "../support/complete.ts";
import { pipe, scratchDirectory } from "../support/files.ts";
import { kept } from "../support/keep.ts";
import { needs } from "../support/kernel.ts";
import { deferred, needsRegister, reap } from "./support.ts";

const scratch = scratchDirectory();
const own = pipe(scratch);
afterAll(() => [own.read, own.write].forEach((fd) => closeSync(fd)));

const state = { name: "Error", code: "ERR_URING_STATE" } as const;
const named = needsRegister(["IORING_REGISTER_RING_FDS", "IORING_UNREGISTER_RING_FDS"]);
const byIndex = needs("IORING_FEAT_REG_REG_RING", () => getProbe().hasFeature(IORING_FEAT_REG_REG_RING));

describe("registerRingFd()", () => {
  named("lets everything go on under the index: entering, registering, waiting", () => {
    using ring = new Ring(8);
    const index = ring.registerRingFd();
    expect(index).toBeGreaterThanOrEqual(0);
    expect(ring.ringFdRegistered).toBe(true);
    ring.prepNop().userData(1);
    ring.submitAndWait(1);
    expect(reap(ring)).toEqual([[1, 0]]);
    const buffer = Buffer.alloc(8);
    ring.registerBuffers([buffer]);
    writeSync(own.write, "by index");
    ring.prepReadFixed(own.read, buffer, 0, 0);
    expect(complete(ring)).toBe(8);
    expect(buffer.toString()).toBe("by index");
    ring.unregisterBuffers();
    ring.unregisterRingFd();
    expect(ring.ringFdRegistered).toBe(false);
    ring.registerBuffers([buffer]);
    ring.prepNop();
    expect(complete(ring)).toBe(0);
  });

  named("gives an index back with its ring: sixteen at a time, and no end of them", () => {
    for (let round = 0; round < 3; round++) {
      const rings = Array.from({ length: 16 }, () => new Ring(1));
      const indices = rings.map((ring) => ring.registerRingFd());
      expect(indices.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 16 }, (_, i) => i));
      using another = new Ring(1);
      expect(() => another.registerRingFd()).toThrow(expect.objectContaining({ name: "UringError" }));
      expect(another.ringFdRegistered).toBe(false);
      another.prepNop();
      expect(complete(another)).toBe(0);
      for (const ring of rings) ring.close();
    }
  });
});

describe("closeRingFd()", () => {
  byIndex("leaves a ring that has no descriptor, and works", () => {
    const before = descriptors(isRing);
    const ring = new Ring(8, deferred);
    const { fd } = ring;
    const index = ring.registerRingFd();
    expect(descriptors(isRing)).toBe(before + 1);
    ring.closeRingFd();
    expect(descriptors(isRing)).toBe(before);
    expect(() => fstatSync(fd)).toThrow(expect.objectContaining({ code: "EBADF" }));
    expect([ring.fd, ring.ringFdRegistered, ring.closed]).toEqual([index, false, false]);
    expect(ring.setup.flagNames).toContain("IORING_SETUP_REGISTERED_FD_ONLY");
    const buffer = Buffer.alloc(8);
    ring.registerBuffers([buffer]);
    ring.registerFilesSparse(2);
    writeSync(own.write, "no name!");
    ring.prepReadFixed(own.read, buffer, 0, 0);
    expect(complete(ring)).toBe(8);
    const pool = new BufferRing(ring, { group: 1, entries: 2, size: 64 });
    writeSync(own.write, "x");
    ring.prepRead(own.read, 0, 0, 8).bufferSelect(1);
    expect(complete(ring)).toBe(1);
    pool.close();
    // Its end gives the index back.
    ring.close();
    using next = new Ring(1);
    expect(next.registerRingFd()).toBe(index);
  });

  byIndex("cancels what is in flight when it ends, as any ring", () => {
    const ring = new Ring(8);
    ring.registerRingFd();
    ring.closeRingFd();
    ring.prepRead(own.read, kept(Buffer.alloc(8)), 0).userData(1);
    ring.submit();
    new BufferPool(ring, { count: 1, size: 64 });
    const started = performance.now();
    ring.close();
    expect(performance.now() - started).toBeLessThan(900);
  });

  test("refuses a ring whose descriptor is not registered", () => {
    using ring = new Ring(4);
    expect(() => ring.closeRingFd()).toThrow(expect.objectContaining(state));
  });

  byIndex("is done once, and not undone", () => {
    using ring = new Ring(4);
    ring.registerRingFd();
    ring.closeRingFd();
    expect(() => ring.closeRingFd()).toThrow(expect.objectContaining(state));
    expect(() => ring.registerRingFd()).toThrow(expect.objectContaining(state));
    expect(() => ring.unregisterRingFd()).toThrow(expect.objectContaining(state));
  });
});

describe("enableRings()", () => {
  needsRegister("IORING_REGISTER_ENABLE_RINGS")("starts a ring that took nothing before", () => {
    using ring = new Ring(8, { rDisabled: true });
    ring.prepNop().userData(1);
    expect(() => ring.submit()).toThrow(expect.objectContaining({ code: "EBADFD" }));
    ring.enableRings();
    ring.submitAndWait(1);
    expect(reap(ring)).toEqual([[1, 0]]);
    expect(() => ring.enableRings()).toThrow(expect.objectContaining({ code: "EBADFD" }));
  });
});
