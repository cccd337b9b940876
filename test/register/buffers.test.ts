/** Registered buffers: tags, updates, tables shared between rings. */
import { afterAll, describe, expect, test } from "bun:test";
import { closeSync, readSync, writeSync } from "node:fs";
import { BufferPool, EFAULT, IORING_REGISTER_DST_REPLACE, Mapping, Ring } from "../../src/index.ts";
import { complete } from "../support/complete.ts";
import { openFile, pattern, pipe, scratchDirectory } from "../support/files.ts";
import { needsThat } from "../support/kernel.ts";
import { hasRegistration, needsRegister, reap, reapAtLeast } from "./support.ts";

const scratch = scratchDirectory();
const content = pattern(8192);
const fd = openFile(scratch, "content", content);
afterAll(() => closeSync(fd));

const state = { name: "Error", code: "ERR_URING_STATE" } as const;
const value = { name: "RangeError", code: "ERR_URING_ARG_VALUE" } as const;
const type = { name: "TypeError", code: "ERR_URING_ARG_TYPE" } as const;

/** Reads the file's first bytes into a registered buffer: the result. */
function readInto(ring: Ring, buffer: Uint8Array, index: number): number {
  ring.prepReadFixed(fd, buffer, 0, index);
  return complete(ring);
}

const tagged = needsRegister(["IORING_REGISTER_BUFFERS2", "IORING_REGISTER_BUFFERS_UPDATE"]);
// Kernel: 6.12 and older post tags of what is replaced, and none when the whole table goes; 6.16 does, and 6.13 brought
// RESIZE_RINGS.
const leaving = needsRegister(["IORING_REGISTER_BUFFERS2", "IORING_REGISTER_RESIZE_RINGS"]);
const cloning = needsRegister("IORING_REGISTER_CLONE_BUFFERS");

/** Whether ranges can be cloned (6.13), not only whole tables (6.12). */
function clonesRanges(): boolean {
  if (!hasRegistration("IORING_REGISTER_CLONE_BUFFERS")) return false;
  using source = new Ring(1);
  using target = new Ring(1);
  source.registerBuffers([Buffer.alloc(64), Buffer.alloc(64)]);
  try {
    target.cloneBuffersOffset(source, 1, 1, 1);
    return true;
  } catch {
    return false;
  }
}
const ranges = needsRegister(["IORING_REGISTER_CLONE_BUFFERS", "IORING_REGISTER_RESIZE_RINGS"], [], clonesRanges);

/** Kernel: 6.16 and 6.17 lose what is behind a range that is replaced. */
function keepsTheRest(): boolean {
  using source = new Ring(1);
  using target = new Ring(1);
  const buffers = [Buffer.alloc(64), Buffer.alloc(64)];
  source.registerBuffers(buffers);
  target.registerBuffers(buffers);
  target.cloneBuffersOffset(source, 0, 0, 1, IORING_REGISTER_DST_REPLACE);
  target.prepReadFixed(fd, buffers[1] as Buffer, 0, 1);
  return complete(target) === 64;
}
const replacing =
  ranges === test
    ? needsThat(keepsTheRest(), "IORING_REGISTER_DST_REPLACE that keeps what is behind the range, Linux 6.18")
    : ranges;

describe("registerBuffersTags()", () => {
  leaving("posts each tag but 0 when the table goes", () => {
    using ring = new Ring(8);
    const buffers = [Buffer.alloc(4096), Buffer.alloc(4096), Buffer.alloc(4096)];
    ring.registerBuffersTags(buffers, [11, 0, 2 ** 53 - 1]);
    expect(ring.registeredBuffers).toBe(3);
    expect(readInto(ring, buffers[2] as Buffer, 2)).toBe(4096);
    expect(buffers[2]).toEqual(content.subarray(0, 4096));
    expect(reap(ring)).toEqual([]);
    ring.unregisterBuffers();
    const tags = reapAtLeast(ring, 2);
    expect(tags.sort()).toEqual([
      [11, 0],
      [2 ** 53 - 1, 0],
    ]);
    // 64 bits come back as they went.
    ring.registerBuffersTags(buffers.slice(0, 1), [2n ** 64n - 2n]);
    ring.unregisterBuffers();
    expect(ring.waitCqes(1, 2000)?.userDataBigInt).toBe(2n ** 64n - 2n);
  });

  // Kernel: before 6.13, which also brought RESIZE_RINGS, unregistering waits for the requests.
  const outliving = needsRegister(["IORING_REGISTER_BUFFERS2", "IORING_REGISTER_RESIZE_RINGS"]);
  outliving("posts a tag only when no request uses the buffer any more", () => {
    using ring = new Ring(8);
    const own = pipe(scratch);
    const buffer = Buffer.alloc(64);
    ring.registerBuffersTags([buffer], [5]);
    ring.prepReadFixed(own.read, buffer, 0, 0, 5).userData(9);
    ring.submit();
    ring.unregisterBuffers();
    expect(reap(ring)).toEqual([]);
    writeSync(own.write, "later");
    const seen = reapAtLeast(ring, 2);
    expect(seen).toEqual([
      [9, 5],
      [5, 0],
    ]);
    expect(buffer.toString("latin1", 0, 5)).toBe("later");
    closeSync(own.read);
    closeSync(own.write);
  });

  tagged("leaves places of null empty", () => {
    using ring = new Ring(8);
    const buffer = Buffer.alloc(4096);
    ring.registerBuffersTags([null, buffer], [0, 3]);
    expect(readInto(ring, buffer, 0)).toBe(-EFAULT);
    expect(readInto(ring, buffer, 1)).toBe(4096);
  });

  test("refuses tags that do not fit the buffers, and a second table", () => {
    using ring = new Ring(8);
    const buffer = Buffer.alloc(64);
    expect(() => ring.registerBuffersTags([buffer], [])).toThrow(expect.objectContaining(value));
    expect(() => ring.registerBuffersTags([buffer], [1, 2])).toThrow(expect.objectContaining(value));
    expect(() => ring.registerBuffersTags([buffer], [-1])).toThrow(expect.objectContaining(value));
    expect(() => ring.registerBuffersTags([buffer], [1.5])).toThrow(expect.objectContaining(value));
    expect(() => ring.registerBuffersTags([buffer], ["1" as unknown as number])).toThrow(expect.objectContaining(type));
    expect(() => ring.registerBuffersTags([buffer], 1 as unknown as number[])).toThrow(expect.objectContaining(type));
    expect(() => ring.registerBuffersTags([], [])).toThrow(expect.objectContaining(value));
    expect(ring.registeredBuffers).toBe(0);
    ring.registerBuffers([buffer]);
    expect(() => ring.registerBuffersTags([buffer], [1])).toThrow(expect.objectContaining(state));
  });
});

describe("registerBuffersUpdateTag()", () => {
  tagged("replaces buffers, posts the tags of the old ones, and has tags for the new", () => {
    using ring = new Ring(8);
    const [first, second, third] = [Buffer.alloc(4096), Buffer.alloc(4096), Buffer.alloc(4096)];
    ring.registerBuffersTags([first, second], [21, 22]);
    expect(ring.registerBuffersUpdateTag(1, [third], [23])).toBe(1);
    expect(reapAtLeast(ring, 1)).toEqual([[22, 0]]);
    expect(readInto(ring, third, 1)).toBe(4096);
    expect(readInto(ring, second, 1)).toBe(-EFAULT);
    expect(ring.registerBuffersUpdateTag(0, [null, null], [0, 0])).toBe(2);
    expect(reapAtLeast(ring, 2).sort()).toEqual([
      [21, 0],
      [23, 0],
    ]);
    expect(readInto(ring, first, 0)).toBe(-EFAULT);
  });

  tagged("refuses tags that are not as many, and indices past the table", () => {
    using ring = new Ring(8);
    const buffer = Buffer.alloc(64);
    expect(() => ring.registerBuffersUpdateTag(0, [buffer], [1])).toThrow(expect.objectContaining(state));
    ring.registerBuffers([buffer]);
    expect(() => ring.registerBuffersUpdateTag(0, [buffer], [])).toThrow(expect.objectContaining(value));
    expect(() => ring.registerBuffersUpdateTag(1, [buffer], [1])).toThrow(expect.objectContaining(value));
    expect(() => ring.registerBuffersUpdateTag(-1, [buffer], [1])).toThrow(expect.objectContaining(value));
  });
});

describe("cloneBuffers()", () => {
  cloning("has another ring read into and write from what the first registered", () => {
    using source = new Ring(8);
    using target = new Ring(8);
    const [first, second] = [Buffer.from("from the first ring"), Buffer.alloc(4096)];
    source.registerBuffers([first, second]);
    target.cloneBuffers(source);
    expect(target.registeredBuffers).toBe(2);
    expect(readInto(target, second, 1)).toBe(4096);
    expect(second).toEqual(content.subarray(0, 4096));
    const own = pipe(scratch);
    target.prepWriteFixed(own.write, first, 0, 0);
    expect(complete(target)).toBe(first.length);
    const read = Buffer.alloc(first.length);
    readSync(own.read, read);
    expect(read).toEqual(first);
    closeSync(own.read);
    closeSync(own.write);
    // Either may let go first.
    source.unregisterBuffers();
    expect(readInto(source, second, 1)).toBe(-EFAULT);
    second.fill(0);
    expect(readInto(target, second, 1)).toBe(4096);
    target.unregisterBuffers();
    expect(readInto(target, second, 1)).toBe(-EFAULT);
  });

  leaving("leaves the tags to the ring that they were given to, which speaks for itself only", () => {
    using source = new Ring(8);
    using target = new Ring(8);
    source.registerBuffersTags([Buffer.alloc(4096)], [6]);
    target.cloneBuffers(source);
    source.unregisterBuffers();
    expect(reapAtLeast(source, 1)).toEqual([[6, 0]]);
    target.unregisterBuffers();
    expect(reap(target)).toEqual([]);
  });

  cloning("keeps what it shares, though the other ring and every variable are gone", async () => {
    using target = new Ring(8);
    const made = ((): WeakRef<Buffer> => {
      using source = new Ring(8);
      const buffer = Buffer.from(content.subarray(0, 4096));
      source.registerBuffers([buffer]);
      target.cloneBuffers(source);
      return new WeakRef(buffer);
    })();
    for (let i = 0; i < 5; i++) {
      await Bun.sleep(1);
      Bun.gc(true);
    }
    const kept = made.deref();
    expect(kept).toBeDefined();
    expect(kept).toEqual(content.subarray(0, 4096));
  });

  cloning("takes a ring without a descriptor by its index", () => {
    using source = new Ring(8, { noMmap: true, registeredFdOnly: true });
    using target = new Ring(8);
    const buffer = Buffer.alloc(4096);
    source.registerBuffers([buffer]);
    target.cloneBuffers(source);
    expect(readInto(target, buffer, 0)).toBe(4096);
  });

  test("refuses what is no ring, a ring without buffers, and to cover a table", () => {
    using source = new Ring(8);
    using target = new Ring(8);
    expect(() => target.cloneBuffers({} as Ring)).toThrow(expect.objectContaining(type));
    expect(() => target.cloneBuffers(source)).toThrow(expect.objectContaining(state));
    source.registerBuffers([Buffer.alloc(64)]);
    expect(() => target.cloneBuffers(source, 8)).toThrow(expect.objectContaining(value));
    target.registerBuffers([Buffer.alloc(64)]);
    expect(() => target.cloneBuffers(source)).toThrow(expect.objectContaining(state));
    const closed = new Ring(1);
    closed.registerBuffers([Buffer.alloc(64)]);
    closed.close();
    target.unregisterBuffers();
    expect(() => target.cloneBuffers(closed)).toThrow(expect.objectContaining(state));
  });
});

describe("cloneBuffersOffset()", () => {
  ranges("shares a range at other indices", () => {
    using source = new Ring(8);
    using target = new Ring(8);
    const buffers = Array.from({ length: 4 }, () => Buffer.alloc(4096));
    source.registerBuffers(buffers);
    target.cloneBuffersOffset(source, 3, 1, 2);
    expect(target.registeredBuffers).toBe(5);
    expect(readInto(target, buffers[1] as Buffer, 3)).toBe(4096);
    expect(readInto(target, buffers[2] as Buffer, 4)).toBe(4096);
    expect(readInto(target, buffers[0] as Buffer, 0)).toBe(-EFAULT);
    // What the library thinks of the table is what the kernel thinks: updates reach its end and no further.
    expect(target.registerBuffersUpdate(0, [buffers[0] as Buffer])).toBe(1);
    expect(readInto(target, buffers[0] as Buffer, 0)).toBe(4096);
    expect(target.registerBuffersUpdate(4, [null])).toBe(1);
    expect(() => target.registerBuffersUpdate(5, [null])).toThrow(expect.objectContaining(value));
  });

  replacing("replaces what is in the range, and nothing else, with DST_REPLACE", () => {
    using source = new Ring(8);
    using target = new Ring(8);
    const theirs = [Buffer.alloc(4096), Buffer.alloc(4096)];
    const ours = [Buffer.alloc(4096), Buffer.alloc(4096), Buffer.alloc(4096)];
    source.registerBuffers(theirs);
    target.registerBuffersTags(ours, [1, 2, 3]);
    expect(() => target.cloneBuffersOffset(source, 1, 0, 1)).toThrow(expect.objectContaining(state));
    target.cloneBuffersOffset(source, 1, 1, 1, IORING_REGISTER_DST_REPLACE);
    expect(reapAtLeast(target, 1)).toEqual([[2, 0]]);
    expect(readInto(target, theirs[1] as Buffer, 1)).toBe(4096);
    expect(readInto(target, ours[0] as Buffer, 0)).toBe(4096);
    expect(readInto(target, ours[2] as Buffer, 2)).toBe(4096);
    // Past the end the table grows.
    target.cloneBuffersOffset(source, 2, 0, 2, IORING_REGISTER_DST_REPLACE);
    expect(target.registeredBuffers).toBe(4);
    expect(reapAtLeast(target, 1)).toEqual([[3, 0]]);
    expect(readInto(target, theirs[1] as Buffer, 3)).toBe(4096);
  });

  ranges("takes a descriptor for a ring", () => {
    using source = new Ring(8);
    using target = new Ring(8);
    const buffer = Buffer.alloc(4096);
    source.registerBuffers([buffer]);
    target.cloneBuffersOffset(source.fd, 0, 0, 1);
    expect(readInto(target, buffer, 0)).toBe(4096);
    target.unregisterBuffers();
    expect(() => target.cloneBuffersOffset(fd, 0, 0, 1)).toThrow(expect.objectContaining({ name: "UringError" }));
  });

  ranges("lets the places of a ring's own pool be", () => {
    using source = new Ring(8);
    using target = new Ring(8);
    source.registerBuffers([Mapping.anonymous(4096)]);
    const pool = new BufferPool(target, { count: 2, size: 4096 });
    const taken = pool.take();
    target.cloneBuffersOffset(source, 1, 0, 1, IORING_REGISTER_DST_REPLACE);
    if (taken === null) throw new Error("the pool gave nothing");
    target.prepReadFixed(fd, taken, 0, taken.bufIndex);
    expect(complete(target)).toBe(4096);
    pool.close();
  });

  test("refuses ranges past the other's table", () => {
    using source = new Ring(8);
    using target = new Ring(8);
    source.registerBuffers([Buffer.alloc(64), Buffer.alloc(64)]);
    expect(() => target.cloneBuffersOffset(source, 0, 1, 2)).toThrow(expect.objectContaining(value));
    expect(() => target.cloneBuffersOffset(source, 0, 2, 1)).toThrow(expect.objectContaining(value));
    expect(() => target.cloneBuffersOffset(source, 0, 0, 0)).toThrow(expect.objectContaining(value));
    expect(() => target.cloneBuffersOffset(source, -1, 0, 1)).toThrow(expect.objectContaining(value));
    expect(() => target.cloneBuffersOffset(source, 16384, 0, 1)).toThrow(expect.objectContaining(value));
    expect(target.registeredBuffers).toBe(0);
  });
});
