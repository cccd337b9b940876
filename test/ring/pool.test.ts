// BufferPool and BufferRing: what they lend, what they refuse, and what is left when they are closed.
import { describe, expect, test } from "bun:test";
import { closeSync, openSync } from "node:fs";
import {
  addressOf,
  BufferPool,
  BufferRing,
  type BufferRingOptions,
  EEXIST,
  EINVAL,
  type PoolBuffer,
  Ring,
} from "../../src/index.ts";
import { complete } from "../support/complete.ts";
import { needs } from "../support/kernel.ts";

const coded = (code: string): unknown => expect.objectContaining({ code });

describe("BufferPool", () => {
  test("lends each buffer to one taker at a time", () => {
    using ring = new Ring(8);
    using pool = new BufferPool(ring, { count: 3, size: 1000 });
    const taken = [pool.take(), pool.take(), pool.take()] as PoolBuffer[];
    expect(pool.take()).toBeNull();
    expect(new Set(taken.map(({ id }) => id))).toEqual(new Set([0, 1, 2]));
    for (const buffer of taken) {
      expect([buffer.byteLength, buffer.bytes.length, buffer.bufIndex]).toEqual([1000, 1000, 0]);
      buffer.bytes.fill(buffer.id + 1);
    }
    for (const buffer of taken) expect(buffer.bytes.every((byte) => byte === buffer.id + 1)).toBe(true);
    expect(pool.available).toBe(0);
    pool.give(taken[1] as PoolBuffer);
    expect(pool.take()).toBe(taken[1] as PoolBuffer);
    expect(pool.buffer(2).id).toBe(2);
  });

  test("is registered: fixed reads and writes go into it by its index", () => {
    using ring = new Ring(8);
    using pool = new BufferPool(ring, { count: 2, size: 4096 });
    const buffer = pool.take() as PoolBuffer;
    const fd = openSync(import.meta.path, "r");
    ring.prepReadFixed(fd, buffer, 0, buffer.bufIndex, 20);
    expect(complete(ring)).toBe(20);
    expect(Buffer.from(buffer.bytes.subarray(0, 14)).toString()).toBe("// BufferPool ");
    closeSync(fd);
  });

  test("refuses what was given back, what is not its own, and what is no buffer", () => {
    using ring = new Ring(8);
    using pool = new BufferPool(ring, { count: 2, size: 64 });
    using otherRing = new Ring(8);
    using other = new BufferPool(otherRing, { count: 2, size: 64 });
    const buffer = pool.take() as PoolBuffer;
    pool.give(buffer);
    expect(() => pool.give(buffer)).toThrow(coded("ERR_URING_STATE"));
    expect(pool.available).toBe(2);
    expect(() => pool.give(other.take() as PoolBuffer)).toThrow(coded("ERR_URING_ARG_TYPE"));
    expect(() => pool.give({ id: 0 } as PoolBuffer)).toThrow(coded("ERR_URING_ARG_TYPE"));
    expect(() => pool.buffer(2)).toThrow(coded("ERR_URING_ARG_VALUE"));
    expect(pool.available).toBe(2);
  });

  test.each([
    [0, 64],
    [1, 0],
    [-1, 64],
    [1.5, 64],
    [2, 2 ** 30],
  ])("refuses %p buffers of %p bytes", (count, size) => {
    using ring = new Ring(8);
    expect(() => new BufferPool(ring, { count, size })).toThrow(coded("ERR_URING_ARG_VALUE"));
    expect(ring.registeredBuffers).toBe(0);
  });

  test("takes a place in a table that is there, and refuses to make a second table", () => {
    using ring = new Ring(8);
    ring.registerBuffersSparse(4);
    expect(() => new BufferPool(ring, { count: 1, size: 64 })).toThrow(coded("ERR_URING_STATE"));
    using first = new BufferPool(ring, { count: 1, size: 64, bufIndex: 1 });
    using second = new BufferPool(ring, { count: 1, size: 64, bufIndex: 3 });
    const fd = openSync("/dev/zero", "r");
    for (const pool of [first, second]) {
      const buffer = pool.take() as PoolBuffer;
      buffer.bytes.fill(9);
      ring.prepReadFixed(fd, buffer, 0, buffer.bufIndex);
      expect(complete(ring)).toBe(64);
      expect(buffer.bytes.every((byte) => byte === 0)).toBe(true);
    }
    closeSync(fd);
  });

  test("closed, it lends nothing and its buffers can be used by nobody", () => {
    using ring = new Ring(8);
    const pool = new BufferPool(ring, { count: 2, size: 64 });
    const buffer = pool.take() as PoolBuffer;
    pool.close();
    pool.close();
    expect(ring.registeredBuffers).toBe(0);
    expect(buffer.bytes.length).toBe(0);
    expect(() => addressOf(buffer)).toThrow(coded("ERR_URING_CLOSED"));
    expect(() => ring.prepRead(0, buffer, 0)).toThrow(coded("ERR_URING_CLOSED"));
    expect(ring.sqReady()).toBe(0);
    expect(() => pool.take()).toThrow(coded("ERR_URING_CLOSED"));
    expect(() => pool.give(buffer)).toThrow(coded("ERR_URING_CLOSED"));
    using again = new BufferPool(ring, { count: 1, size: 64 });
    expect(again.available).toBe(1);
  });

  test("is closed with its ring", () => {
    const ring = new Ring(8);
    const pool = new BufferPool(ring, { count: 1, size: 64 });
    const { bytes } = pool.take() as PoolBuffer;
    ring.close();
    expect(bytes.length).toBe(0);
    expect(() => pool.take()).toThrow(coded("ERR_URING_CLOSED"));
    expect(() => new BufferPool(ring, { count: 1, size: 64 })).toThrow(coded("ERR_URING_CLOSED"));
  });
});

/** Whether this kernel has buffer rings of a kind. */
function makes(options: Partial<BufferRingOptions>): () => boolean {
  return () => {
    using ring = new Ring(1);
    try {
      new BufferRing(ring, { group: 0, entries: 1, size: 64, ...options }).close();
      return true;
    } catch {
      return false;
    }
  };
}

const rings = needs("IORING_REGISTER_PBUF_RING", makes({}));

describe("BufferRing", () => {
  const kinds: [string, string, Partial<BufferRingOptions>][] = [
    ["mapped by the library", "IORING_REGISTER_PBUF_RING", {}],
    ["mapped by the kernel", "IOU_PBUF_RING_MMAP", { kernelMapped: true }],
  ];
  for (const [title, flag, options] of kinds) {
    needs(flag, makes(options))(`${title}: every buffer is lent, and lent again after it was given back`, () => {
      using ring = new Ring(8);
      using buffers = new BufferRing(ring, { group: 9, entries: 4, size: 32, ...options });
      const fd = openSync(import.meta.path, "r");
      const text = new Uint8Array(32);
      ring.prepRead(fd, text, 0);
      expect(complete(ring)).toBe(32);
      const counts = [0, 0, 0, 0];
      // Past the wrap of the queue's 16-bit tail.
      for (let i = 0; i < 70_000; i++) {
        ring.prepRead(fd, 0, 0, 32).bufferSelect(9);
        ring.submitAndWait(1);
        const cqe = ring.peekCqe();
        if (cqe === null || cqe.res !== 32) throw new Error(`read ${i} came to ${cqe?.res}`);
        const start = buffers.take(cqe);
        const id = cqe.bufferId;
        if (start !== id * 32 || buffers.bytes[start] !== text[0] || buffers.bytes[start + 31] !== text[31]) {
          throw new Error(`read ${i} went elsewhere`);
        }
        counts[id] = (counts[id] as number) + 1;
        ring.seenCqe();
        buffers.recycle(id);
      }
      expect(counts).toEqual([17_500, 17_500, 17_500, 17_500]);
      expect(buffers.available).toBe(4);
      closeSync(fd);
    });
  }

  rings("refuses to take back what it was not given, or twice", () => {
    using ring = new Ring(8);
    using buffers = new BufferRing(ring, { group: 1, entries: 2, size: 64 });
    expect(() => buffers.recycle(0)).toThrow(coded("ERR_URING_STATE"));
    expect(() => buffers.recycle(2)).toThrow(coded("ERR_URING_ARG_VALUE"));
    expect(() => buffers.provide(0, 65)).toThrow(coded("ERR_URING_ARG_VALUE"));
    expect(() => buffers.provide(0, 1)).toThrow(coded("ERR_URING_STATE"));
    const fd = openSync("/dev/zero", "r");
    ring.prepRead(fd, 0, 0, 64).bufferSelect(1);
    ring.submitAndWait(1);
    const cqe = ring.peekCqe();
    if (cqe === null) throw new Error("nothing came");
    expect(buffers.take(cqe)).toBe(cqe.bufferId * 64);
    expect(buffers.available).toBe(1);
    // The same completion once more.
    expect(() => buffers.take(cqe)).toThrow(coded("ERR_URING_STATE"));
    buffers.recycle(cqe.bufferId);
    expect(() => buffers.recycle(cqe.bufferId)).toThrow(coded("ERR_URING_STATE"));
    expect(buffers.available).toBe(2);
    ring.seenCqe();
    ring.prepNop();
    ring.submitAndWait(1);
    const nop = ring.peekCqe();
    if (nop === null) throw new Error("nothing came");
    expect(buffers.take(nop)).toBe(-1);
    expect(buffers.forEach(nop, () => {})).toBe(0);
    closeSync(fd);
  });

  rings("refuses sizes and groups that cannot be, and says which group is taken", () => {
    using ring = new Ring(8);
    for (const bad of [
      { entries: 3 },
      { entries: 0 },
      { entries: 65536 },
      { entries: 1.5 },
      { size: 0 },
      { size: -1 },
      { group: -1 },
      { group: 65536 },
    ]) {
      const options = { group: 1, entries: 4, size: 64, ...bad };
      expect(() => new BufferRing(ring, options)).toThrow(coded("ERR_URING_ARG_VALUE"));
    }
    using first = new BufferRing(ring, { group: 1, entries: 4, size: 64 });
    expect(() => new BufferRing(ring, { group: 1, entries: 4, size: 64 })).toThrow(
      expect.objectContaining({ errno: -EEXIST, message: expect.stringContaining("group 1 is registered already") }),
    );
    expect(first.available).toBe(4);
    expect(EINVAL).toBe(22);
  });

  rings("closed, it is unregistered, takes nothing back, and its group can be used again", () => {
    using ring = new Ring(8);
    const buffers = new BufferRing(ring, { group: 1, entries: 2, size: 64 });
    const { bytes } = buffers;
    buffers.close();
    buffers.close();
    expect(bytes.length).toBe(0);
    expect(() => buffers.recycle(0)).toThrow(coded("ERR_URING_CLOSED"));
    using again = new BufferRing(ring, { group: 1, entries: 2, size: 64 });
    expect(again.available).toBe(2);
  });

  rings("is closed with its ring, even while a multishot receive uses it", () => {
    const ring = new Ring(8);
    const buffers = new BufferRing(ring, { group: 1, entries: 2, size: 64 });
    ring.prepPollMultishot(0, 1);
    ring.submit();
    const { bytes } = buffers;
    ring.close();
    expect(bytes.length).toBe(0);
    expect(() => new BufferRing(ring, { group: 1, entries: 2, size: 64 })).toThrow(coded("ERR_URING_CLOSED"));
  });
});
